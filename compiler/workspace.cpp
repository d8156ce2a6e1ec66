// Moves scratch into the workspace.
#include "workspace.h"

#include <algorithm>

using namespace Halide;
using namespace Halide::Internal;

namespace sepconv::compiler {
namespace {

// What is smaller stays on the stack, where the compiler keeps it in registers: accumulators of a block are 2 KiB at the most.
constexpr std::int64_t most_stack_bytes = 8 << 10;
constexpr std::int64_t cache_line = 64;
// Iterations of a parallel loop that may each have a place in the workspace.
constexpr std::int64_t most_slots = 256;

std::string memory_name(const std::string &name) { return name + ".memory"; }

// Looks for calls of Halide's runtime, and gives parallel loops to another function.
class RuntimeCalls : public IRMutator {
public:
    explicit RuntimeCalls(const std::string &parallel_for) : parallel_for_(parallel_for) {}
    bool found = false;

private:
    using IRMutator::visit;
    Expr visit(const Call *call) override {
        if (call->name == "halide_do_par_for" && !parallel_for_.empty()) {
            // Halide adds the user context to calls of its own functions only.
            std::vector<Expr> arguments = mutate(call->args);
            arguments.insert(arguments.begin(), reinterpret(Handle(), make_const(UInt(64), 0)));
            return Call::make(call->type, parallel_for_, arguments, call->call_type);
        }
        const bool inlined = call->name.starts_with("_halide_buffer");
        found = found || (!inlined && call->is_extern() && call->name.starts_with("halide_"));
        return IRMutator::visit(call);
    }

    std::string parallel_for_;
};

}  // namespace

WorkspaceArgument::WorkspaceArgument() : parameter_(Handle(), false, 0, "workspace") {}

Argument WorkspaceArgument::argument() const { return {parameter_.name(), Argument::InputScalar, Handle(), 0, ArgumentEstimates{}}; }

Expr WorkspaceArgument::pointer() const { return Variable::make(Handle(), parameter_.name(), parameter_); }

Stmt with_malloc(const std::string &name, const Expr &bytes, int failure, const Target &target, const Stmt &body) {
    const Expr most = bytes + make_const(bytes.type(), cache_line);
    const Expr taken = Variable::make(Handle(), memory_name(name));
    const Expr address = reinterpret<std::uint64_t>(taken);
    const Expr line = make_const(UInt(64), cache_line);
    const Expr start = (address + make_const(UInt(64), cache_line - 1)) / line * line;
    const Stmt found = AssertStmt::make(address != make_const(UInt(64), 0), Expr(failure));
    const Expr call = Call::make(Handle(), "malloc", {target.bits == 64 ? most : cast<std::uint32_t>(most)}, Call::Extern);
    return LetStmt::make(memory_name(name), call, Block::make(found, LetStmt::make(name, reinterpret(Handle(), start), body)));
}

Stmt freed(const std::string &name, const Target &target) {
    // WebAssembly tells a function without a result from one whose result is dropped; Halide's form has only the latter.
    const char *function = target.arch == Target::WebAssembly ? "sepconv_support_free" : "free";
    return Evaluate::make(Call::make(Int(32), function, {Variable::make(Handle(), memory_name(name))}, Call::Extern));
}

Stmt ScratchToWorkspace::visit(const For *loop) {
    const bool device = on_device_;
    on_device_ = on_device_ || (loop->device_api != DeviceAPI::None && loop->device_api != DeviceAPI::Host);
    const bool parallel = loop->for_type == ForType::Parallel;
    if (parallel) {
        const auto count = as_const_int(simplify(loop->extent));
        parallel_.push_back({loop->name, loop->min, count ? *count : 0});
    }
    Stmt result = IRMutator::visit(loop);
    if (parallel) parallel_.pop_back();
    on_device_ = device;
    return result;
}

Stmt ScratchToWorkspace::visit(const Allocate *allocation) {
    const bool of_a_cpu = allocation->memory_type == MemoryType::Heap || allocation->memory_type == MemoryType::Auto ||
                          allocation->memory_type == MemoryType::Stack;
    const std::int64_t elements = allocation->constant_allocation_size();
    const std::int64_t size = (elements + allocation->padding) * allocation->type.bytes();
    const bool known = elements > 0, small = known && size <= most_stack_bytes;
    if (on_device_ || !of_a_cpu || small || allocation->new_expr.defined()) return IRMutator::visit(allocation);
    std::int64_t slots = 1;
    for (const Loop &loop : parallel_) slots = loop.count == 0 || slots > most_slots ? most_slots + 1 : slots * loop.count;
    const Stmt body = allocation->body;
    if (!known || slots > most_slots) {
        from_malloc_.push_back(allocation->name);
        Expr bytes = make_const(UInt(64), allocation->type.bytes());
        for (const Expr &extent : allocation->extents) bytes = bytes * cast<std::uint64_t>(extent);
        bytes = simplify(bytes + make_const(UInt(64), allocation->padding * allocation->type.bytes()));
        return with_malloc(allocation->name, bytes, failure_, target_, mutate(body));
    }
    const std::int64_t slot = (size + cache_line - 1) / cache_line * cache_line;
    Expr index = cast<std::int64_t>(0);
    for (const Loop &loop : parallel_) {
        index = index * Expr(loop.count) + cast<std::int64_t>(Variable::make(Int(32), loop.variable) - loop.first);
    }
    const Expr offset = simplify(Expr(bytes_) + index * Expr(slot));
    bytes_ += slot * slots;
    moved_.push_back(allocation->name);
    const Expr address = reinterpret<std::uint64_t>(workspace_.pointer()) + cast<std::uint64_t>(offset);
    return LetStmt::make(allocation->name, reinterpret(Handle(), address), mutate(body));
}

Stmt ScratchToWorkspace::visit(const Free *free) {
    const auto among = [&](const std::vector<std::string> &names) {
        return std::find(names.begin(), names.end(), free->name) != names.end();
    };
    if (among(moved_)) return Evaluate::make(0);
    return among(from_malloc_) ? freed(free->name, target_) : IRMutator::visit(free);
}

Stmt ScratchToWorkspace::visit(const AssertStmt *assertion) { return on_device_ ? Evaluate::make(0) : IRMutator::visit(assertion); }

bool finish(std::vector<LoweredFunc> &functions, const std::string &parallel_for) {
    RuntimeCalls calls(parallel_for);
    for (LoweredFunc &function : functions) function.body = calls.mutate(function.body);
    return calls.found;
}

}  // namespace sepconv::compiler
