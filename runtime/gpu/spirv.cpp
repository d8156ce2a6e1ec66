// Reads Halide's list of SPIR-V kernels and changes a module, instruction by instruction.
#include "gpu/spirv.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <set>
#include <span>
#include <utility>

#include "sepconv/error.h"

namespace sepconv::gpu {
namespace {

// Of the specification "SPIR-V": an instruction is a word with its length and its opcode, and its operands.
constexpr std::uint32_t magic = 0x07230203;
constexpr std::size_t header_words = 5, bound_word = 3;
enum Opcode : std::uint32_t {
    op_extension = 10,
    op_entry_point = 15,
    op_execution_mode = 16,
    op_capability = 17,
    op_constant = 43,
    op_function = 54,
    op_load = 61,
    op_decorate = 71,
    op_composite_extract = 81,
    op_integer_add = 128,
    op_add = 129,
    op_subtract = 131,
    op_integer_multiply = 132,
    op_multiply = 133
};
constexpr std::uint32_t built_in = 11, workgroup_id = 26, no_contraction = 42;         // decorations, and a built-in
constexpr std::uint32_t special_values_capability = 4466, special_values_mode = 4461;  // SignedZeroInfNanPreserve
constexpr std::uint32_t float_bits = 32;

using Words = std::vector<std::uint32_t>;

[[noreturn]] void fail(const std::string &what) {
    throw ExecutionError(fmt::format("expected SPIR-V kernels as Halide writes them, found {}", what));
}

// A text in words, which it fills up with NUL.
class Reader {
public:
    explicit Reader(std::span<const std::uint32_t> words) : words_(words) {}

    std::uint32_t word() {
        if (words_.empty()) fail("an end in the middle");
        const std::uint32_t first = words_.front();
        words_ = words_.subspan(1);
        return first;
    }
    std::span<const std::uint32_t> words(std::size_t count) {
        if (words_.size() < count) fail("an end in the middle");
        const auto first = words_.first(count);
        words_ = words_.subspan(count);
        return first;
    }
    std::string text() {
        const std::span<const std::uint32_t> found = words(word());
        std::string letters(found.size_bytes(), '\0');
        if (!found.empty()) std::memcpy(letters.data(), found.data(), found.size_bytes());
        return letters.substr(0, letters.find('\0'));
    }

private:
    std::span<const std::uint32_t> words_;
};

// The header before a module: a list of entry points, of which there is one; its name, its buffers, its specialization constants (name, id,
// bytes), its shared memory (name, id of a constant or 0, bytes of an element, elements), and the constants of the block's size.
SpirvKernel read_kernel(Reader module) {
    Reader header(module.words(module.word() - 1));
    SpirvKernel kernel;
    if (header.word() != 1) fail("a module without an entry point of its own");
    kernel.name = header.text();
    kernel.uniform_buffers = header.word();
    kernel.storage_buffers = header.word();
    for (std::uint32_t left = header.word(); left > 0; left--) {
        header.text();
        header.words(2);
    }
    for (std::uint32_t left = header.word(); left > 0; left--) {
        header.text();
        const std::uint32_t constant = header.word(), element_bytes = header.word(), elements = header.word();
        if (constant == 0) {
            kernel.shared_bytes += element_bytes * elements;
            continue;
        }
        if (kernel.shared_constant != 0) fail("two allocations of open size in shared memory");
        kernel.shared_constant = constant, kernel.shared_element_bytes = element_bytes;
    }
    for (int dimension = 0; dimension < 3; dimension++) {
        if (header.word() != 0) fail("a block of open size");
    }
    return kernel;
}

std::uint32_t opcode(std::uint32_t word) { return word & 0xffff; }
std::uint32_t length(std::uint32_t word) { return word >> 16; }

void add(Words &to, Opcode code, std::initializer_list<std::uint32_t> operands) {
    to.push_back(static_cast<std::uint32_t>(operands.size() + 1) << 16 | code);
    to.insert(to.end(), operands);
}

void add_extension(Words &to, const std::string &name) {
    Words letters(name.size() / 4 + 1);
    std::memcpy(letters.data(), name.data(), name.size());
    to.push_back(static_cast<std::uint32_t>(letters.size() + 1) << 16 | op_extension);
    to.insert(to.end(), letters.begin(), letters.end());
}

template <typename Visit>
void each_instruction(const Words &code, const Visit &visit) {
    for (std::size_t at = header_words; at < code.size(); at += length(code[at])) {
        if (length(code[at]) == 0 || code.size() - at < length(code[at])) fail("an instruction that is cut off");
        visit(opcode(code[at]), std::span(code).subspan(at, length(code[at])));
    }
}

bool rounds(std::uint32_t code) { return code == op_add || code == op_subtract || code == op_multiply; }

}  // namespace

std::vector<SpirvKernel> spirv_kernels(const char *text, std::size_t bytes) {
    Words words(bytes / sizeof(std::uint32_t));
    if (!words.empty()) std::memcpy(words.data(), text, words.size() * sizeof(std::uint32_t));
    Reader list(words);
    std::vector<std::pair<std::size_t, std::string>> sizes;
    for (std::uint32_t left = list.word(); left > 0; left--) {
        const std::size_t module_bytes = list.word();
        sizes.emplace_back(module_bytes, list.text());
    }
    std::vector<SpirvKernel> kernels;
    for (const auto &[module_bytes, name] : sizes) {
        const std::span<const std::uint32_t> module = list.words(module_bytes / sizeof(std::uint32_t));
        SpirvKernel kernel = read_kernel(Reader(module));
        const std::span<const std::uint32_t> code = module.subspan(std::min<std::size_t>(module.front(), module.size()));
        if (kernel.name != name || code.size() < header_words || code.front() != magic) fail("a module that is no SPIR-V");
        kernel.code.assign(code.begin(), code.end());
        kernels.push_back(std::move(kernel));
    }
    return kernels;
}

Words prepared_spirv(const Words &code, SpirvChanges changes) {
    std::uint32_t entry = 0, block_variable = 0;
    std::set<std::uint32_t> blocks;  // what was loaded of the block's coordinates
    std::uint32_t unsigned_type = 0;
    Words decorations;
    each_instruction(code, [&](std::uint32_t op, std::span<const std::uint32_t> words) {
        if (op == op_entry_point) entry = words[2];
        if (op == op_decorate && words.size() == 4 && words[2] == built_in && words[3] == workgroup_id) block_variable = words[1];
        if (op == op_load && changes.in_rows && block_variable != 0 && words[3] == block_variable) blocks.insert(words[2]);
        if (op == op_composite_extract && blocks.contains(words[3])) unsigned_type = words[1];
        if (changes.is_exact && rounds(op)) add(decorations, op_decorate, {words[2], no_contraction});
    });
    std::uint32_t next_id = code[bound_word];
    const std::uint32_t row_length = next_id++;

    Words result(code.begin(), code.begin() + header_words);
    bool before_extensions = true, before_modes_end = true, before_functions = true, before_decorations = true;
    const auto open = [](bool &before, bool here) { return here && std::exchange(before, false); };
    each_instruction(code, [&](std::uint32_t op, std::span<const std::uint32_t> words) {
        // The sections of a module have a fixed order: each begins with the first instruction that is not of those before it.
        if (changes.keeps_special_values) {
            if (open(before_extensions, op != op_capability)) {
                add(result, op_capability, {special_values_capability});
                add_extension(result, "SPV_KHR_float_controls");
            }
            if (open(before_modes_end, op == op_execution_mode)) add(result, op_execution_mode, {entry, special_values_mode, float_bits});
        }
        if (open(before_decorations, op == op_decorate)) result.insert(result.end(), decorations.begin(), decorations.end());
        if (open(before_functions, op == op_function) && unsigned_type != 0) {
            add(result, op_constant, {unsigned_type, row_length, spirv_blocks_in_row});
        }
        if (op == op_composite_extract && blocks.contains(words[3]) && words[4] == 0) {
            const std::uint32_t x = next_id++, y = next_id++, before = next_id++;
            add(result, op_composite_extract, {words[1], x, words[3], 0});
            add(result, op_composite_extract, {words[1], y, words[3], 1});
            add(result, op_integer_multiply, {words[1], before, y, row_length});
            add(result, op_integer_add, {words[1], words[2], before, x});
            return;
        }
        result.insert(result.end(), words.begin(), words.end());
    });
    result[bound_word] = next_id;
    return result;
}

}  // namespace sepconv::gpu
