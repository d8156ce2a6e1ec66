// Writes the C functions.
#include "entry.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <limits>

#include "support/support.h"
#include "workspace.h"

using namespace Halide;
using namespace Halide::Internal;

namespace sepconv::compiler {

using Halide::Target;

namespace {

const Type pointer = Handle();

Expr code(Error error) { return Expr(static_cast<int>(error)); }
Expr argument(const std::string &name, const Type &type) { return Variable::make(type, name); }
Expr is_null(const Expr &address) { return reinterpret<std::uint64_t>(address) == Expr(std::uint64_t(0)); }
Expr moved(const Expr &address, const Expr &bytes) {
    return reinterpret(pointer, reinterpret<std::uint64_t>(address) + cast<std::uint64_t>(bytes));
}
Expr element(const std::string &array, int index) {
    return Load::make(Int(64), array, index, Buffer<>(), Parameter(), const_true(), ModulusRemainder());
}
Expr wide(const Expr &value) { return cast<std::int64_t>(value); }

// A function's body, statement by statement; each sees the names before it.
class Body {
public:
    Expr let(const std::string &name, const Expr &value) {
        steps_.push_back([=](const Stmt &rest) { return LetStmt::make(name, value, rest); });
        return Variable::make(value.type(), name);
    }
    // Ends the function with an error code where the condition does not hold.
    void require(const Expr &condition, const Expr &error) { then(AssertStmt::make(condition, error)); }
    void require(const Expr &condition, Error error) { require(condition, code(error)); }
    void then(const Stmt &statement) {
        steps_.push_back([=](const Stmt &rest) { return Block::make(statement, rest); });
    }
    Stmt make() const {
        Stmt body = Evaluate::make(0);
        for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) body = (*step)(body);
        return body;
    }

private:
    std::vector<std::function<Stmt(const Stmt &)>> steps_;
};

Expr call(const std::string &function, const std::vector<Expr> &arguments) {
    return Call::make(Int(32), function, arguments, Call::Extern);
}

// @return whether Halide's runtime is called
bool append(Module &module, const Request &request, const std::string &prefix, const Signature &signature, const Body &body) {
    std::vector<LoweredArgument> arguments;
    arguments.reserve(signature.arguments.size());
    for (const Signature::Argument &each : signature.arguments) {
        arguments.emplace_back(each.name, Halide::Argument::InputScalar, each.type, 0, ArgumentEstimates{});
    }
    const std::string name = prefix + signature.suffix;
    std::vector<LoweredFunc> functions;  // first those of parallel loops
    const Stmt lowered = lower_parallel_tasks(body.make(), functions, name, module.target());
    functions.emplace_back(name, arguments, lowered, LinkageType::External, NameMangling::C);
    const bool needs_runtime = finish(functions, request.threads == Threads::supplied ? request.parallel_for : "");
    for (const LoweredFunc &function : functions) module.append(function);
    return needs_runtime;
}

// The extents of an image, and where its dimensions stand. An open extent is an argument.
class Sizes {
public:
    Sizes(const Request &request, Body &body) : request_(request) {
        const Extents size = extents(request);
        const Places at = places(request.config.data_format);
        batch_ = size.batch == open ? argument("batch", Int(64)) : Expr(size.batch);
        const std::int64_t most = std::numeric_limits<std::int32_t>::max();
        if (size.batch == open) body.require(batch_ >= Expr(std::int64_t(0)), Error::bad_shape);
        const Expr height = extent(size.height, "height", body), width = extent(size.width, "width", body);
        input_.resize(4), output_.resize(4);
        const auto known = output_shape(request);
        input_[at.height] = height, input_[at.width] = width, input_[at.channels] = Expr(static_cast<int>(size.channels));
        output_[at.channels] = Expr(static_cast<int>(known[at.channels]));
        output_[at.height] = window(known[at.height], height, 0, "output_height", body);
        output_[at.width] = window(known[at.width], width, 1, "output_width", body);
        const bool together = along(request)[0];
        if (together) body.require(batch_ <= Expr(most), Error::bad_shape);
        // What glu halves is twice as long before; an open extent is halved below.
        const int half = halved(request);
        const bool halved_image = half == at.height || half == at.width;
        const std::int64_t filters = request.config.filters * (halved_image && known[static_cast<std::size_t>(half)] != open ? 2 : 1);
        for (const auto &[image, channels] : {std::pair{input_, size.channels}, std::pair{output_, filters}}) {
            const Expr plane = wide(image[at.height]) * wide(image[at.width]);
            if (size.height == open || size.width == open) body.require(plane <= Expr(most / channels), Error::bad_shape);
            if (together) body.require(plane * Expr(channels) * batch_ <= Expr(most), Error::bad_shape);
        }
        output_batch_ = batch_;
        halve(half, known, body);
    }

    Expr batch() const { return batch_; }
    Expr output_batch() const { return output_batch_; }
    // By dimension of the data format; 0, the batch, is left out.
    const std::vector<Expr> &input() const { return input_; }
    const std::vector<Expr> &output() const { return output_; }

private:
    static Expr extent(std::int64_t known, const std::string &name, Body &body) {
        if (known != open) return Expr(static_cast<int>(known));
        const Expr given = argument(name, Int(64));
        body.require(given > Expr(std::int64_t(0)) && given <= Expr(std::int64_t(std::numeric_limits<std::int32_t>::max() / 2)),
                     Error::bad_shape);
        return body.let(name + "_32", cast<int>(given));
    }

    // What glu makes of a dimension that is known only now.
    void halve(int dimension, const std::array<std::int64_t, 4> &known, Body &body) {
        if (dimension == 0) output_batch_ = batch_ / Expr(std::int64_t(2));
        if (dimension < 0 || known[static_cast<std::size_t>(dimension)] != open) return;
        const Expr all = dimension == 0 ? batch_ : output_[dimension];
        body.require(all % 2 == 0, Error::bad_shape);
        if (dimension > 0) output_[dimension] = all / 2;
    }

    // Keras' rule, as config.h states it.
    Expr window(std::int64_t known, const Expr &input, int axis, const std::string &name, Body &body) const {
        if (known != open) return Expr(static_cast<int>(known));
        const LayerConfig &config = request_.config;
        const auto stride = static_cast<int>(config.strides[axis]);
        if (config.padding == Padding::same) return body.let(name, (input + (stride - 1)) / stride);
        const auto span = static_cast<int>((config.kernel_size[axis] - 1) * config.dilation_rate[axis] + 1);
        body.require(input >= span, Error::bad_shape);
        return body.let(name, (input - span) / stride + 1);
    }

    const Request &request_;
    Expr batch_, output_batch_;
    std::vector<Expr> input_, output_;
};

// Strides by dimension of the data format, in elements.
using StrideList = std::vector<Expr>;

StrideList dense_strides(const std::vector<Expr> &extents) {
    StrideList strides(4);
    strides[3] = Expr(1);
    strides[2] = extents[3];
    strides[1] = extents[3] * extents[2];
    strides[0] = wide(extents[3] * extents[2]) * wide(extents[1]);
    return strides;
}

// Strides from an argument, each such that an image can be indexed with 32 bits.
StrideList open_strides(const std::string &array, const std::vector<Expr> &extents, Body &body) {
    StrideList strides(4);
    const Expr most = Expr(std::int64_t(std::numeric_limits<std::int32_t>::max()));
    strides[0] = body.let(array + "_0", element(array, 0));
    Expr reach = Expr(std::int64_t(1));
    for (int i = 1; i < 4; ++i) {
        const Expr stride = body.let(fmt::format("{}_{}", array, i), element(array, i));
        if (i == 3) body.require(stride == Expr(std::int64_t(1)), Error::bad_strides);
        // An extent of one has a stride that nobody uses.
        const Expr used = select(extents[i] > 1, stride, Expr(std::int64_t(0)));
        body.require(used <= most && used >= -most, Error::bad_strides);
        reach = body.let(fmt::format("{}_reach_{}", array, i), reach + abs(used) * wide(extents[i] - 1));
        body.require(reach <= most, Error::bad_strides);
        strides[i] = i == 3 ? Expr(1) : body.let(fmt::format("{}_32_{}", array, i), cast<int>(used));
    }
    return strides;
}

Expr buffer(const Expr &host, const Type &type, const std::vector<Expr> &extents, const std::vector<Expr> &strides, bool from_host) {
    BufferBuilder builder;
    builder.host = host;
    builder.type = type;
    builder.dimensions = static_cast<int>(extents.size());
    builder.mins.assign(extents.size(), Expr(0));
    builder.extents = extents;
    builder.strides = strides;
    if (from_host) builder.host_dirty = const_true();
    return builder.build();
}

// The buffer of one image, or of the whole batch, innermost dimension first.
Expr image_buffer(const Expr &host, const std::vector<Expr> &extents, const StrideList &strides, const Expr &batch, const Form &form,
                  bool rows_as_one, bool from_host) {
    const Expr images = form.per_image ? Expr(1) : cast<int>(batch), step = form.per_image ? Expr(0) : cast<int>(strides[0]);
    if (rows_as_one && form.channels_first) {
        const Expr pixels = extents[3] * extents[2];
        return buffer(host, form.image, {pixels, extents[1], images}, {Expr(1), pixels, step}, from_host);
    }
    if (rows_as_one) {
        return buffer(host, form.image, {extents[3], extents[2] * extents[1], images}, {Expr(1), extents[3], step}, from_host);
    }
    return buffer(host, form.image, {extents[3], extents[2], extents[1], images}, {strides[3], strides[2], strides[1], step}, from_host);
}

std::vector<Expr> weight_buffers(const Parts &parts) {
    std::vector<Expr> buffers;
    buffers.reserve(parts.form.weights.size());
    for (const std::string &constant : parts.constant_weights) {
        buffers.push_back(Variable::make(type_of<halide_buffer_t *>(), constant + ".buffer"));
    }
    if (!buffers.empty()) return buffers;
    const Expr base = parts.weights.empty()
                          ? argument("weights", pointer)
                          : Call::make(pointer, Call::buffer_get_host,
                                       {Variable::make(type_of<halide_buffer_t *>(), parts.weights + ".buffer")}, Call::Extern);
    const std::vector<std::int64_t> offsets = weight_offsets(parts.form);
    for (std::size_t i = 0; i < parts.form.weights.size(); ++i) {
        std::vector<Expr> extents, strides;
        std::int64_t stride = 1;
        for (const std::int64_t extent : parts.form.weights[i].extents) {
            extents.emplace_back(static_cast<int>(extent));
            strides.emplace_back(static_cast<int>(stride));
            stride *= extent;
        }
        buffers.push_back(buffer(moved(base, Expr(offsets[i])), parts.form.weights[i].type, extents, strides, parts.form.on_gpu));
    }
    return buffers;
}

// Calls a pipeline for every image. `body` has the sizes and strides already.
void call_pipeline(Body &body, const Pipeline &pipeline, const Parts &parts, const Sizes &sizes, const StrideList &input_strides,
                   const StrideList &output_strides, bool rows_as_one, const Expr &all_workspace) {
    const std::int64_t task_bytes = parts.task_workspace_bytes();
    const Expr task = Variable::make(Int(32), "image_task");
    const bool shared = parts.form.image_tasks > 1;
    const Expr workspace = shared && task_bytes > 0 ? moved(all_workspace, wide(task) * Expr(task_bytes)) : all_workspace;
    const Expr image = Variable::make(Int(64), "image");
    const auto at = [&](const char *name, const StrideList &strides) {
        const Expr base = argument(name, pointer);
        return parts.form.per_image ? moved(base, image * wide(strides[0]) * Expr(std::int64_t(parts.form.image.bytes()))) : base;
    };
    Body one;
    std::vector<Expr> arguments = {one.let("input_buffer", image_buffer(at("input", input_strides), sizes.input(), input_strides,
                                                                        sizes.batch(), parts.form, false, parts.form.on_gpu))};
    for (const Expr &weights : weight_buffers(parts)) {
        arguments.push_back(weights.as<Variable>() != nullptr ? weights : one.let(fmt::format("weights_{}", arguments.size()), weights));
    }
    const Expr output = one.let("output_buffer", image_buffer(at("output", output_strides), sizes.output(), output_strides,
                                                              sizes.output_batch(), parts.form, rows_as_one, false));
    arguments.push_back(workspace);
    arguments.push_back(output);
    if (parts.form.on_gpu) one.then(Evaluate::make(call("sepconv_support_enter", {})));
    const Expr result = one.let("result", call(pipeline.name, arguments));
    if (parts.form.on_gpu) {
        // The output comes back before the device's memory is given up, whatever happened before.
        const Expr copied = one.let("copied", call("halide_copy_to_host", {output}));
        for (const Expr &tensor : arguments) {
            const auto *name = tensor.as<Variable>();
            // Constants stay on the device.
            const bool constant = name != nullptr && std::count(parts.constant_weights.begin(), parts.constant_weights.end(),
                                                                name->name.substr(0, name->name.find(".buffer"))) > 0;
            if (!constant && tensor.type() == type_of<halide_buffer_t *>()) {
                one.then(Evaluate::make(call("halide_device_free", {tensor})));
            }
        }
        one.then(Evaluate::make(call("sepconv_support_leave", {})));
        one.require(result == 0, result);
        one.require(copied == 0, copied);
    } else {
        one.require(result == 0, result);
    }
    if (!parts.form.per_image) {
        body.then(IfThenElse::make(sizes.batch() > Expr(std::int64_t(0)), one.make()));
        return;
    }
    const auto batch = as_const_int(sizes.batch());
    if (batch && *batch == 1) {
        body.then(LetStmt::make("image", Expr(std::int64_t(0)), one.make()));
    } else {
        // Loops count with 32 bits; a batch of more images than that cannot be addressed.
        body.require(sizes.batch() <= Expr(std::int64_t(std::numeric_limits<std::int32_t>::max())), Error::bad_shape);
        const Stmt each = LetStmt::make("image", wide(Variable::make(Int(32), "image_32")), one.make());
        const auto images = [&](const Expr &first, const Expr &count) {
            return For::make("image_32", first, count, ForType::Serial, Partition::Never, DeviceAPI::None, each);
        };
        if (!shared) return body.then(images(0, cast<int>(sizes.batch())));
        const Expr tasks = Expr(std::int64_t(parts.form.image_tasks));
        const auto share = [&](const Expr &index) { return cast<int>(sizes.batch() * wide(index) / tasks); };
        body.then(For::make("image_task", 0, parts.form.image_tasks, ForType::Parallel, Partition::Never, DeviceAPI::None,
                            images(share(task), share(task + 1) - share(task))));
    }
}

std::vector<Expr> passed(const Signature &signature) {
    std::vector<Expr> arguments;
    arguments.reserve(signature.arguments.size());
    for (const Signature::Argument &each : signature.arguments) arguments.push_back(argument(each.name, each.type));
    return arguments;
}

// Memory for the workspace around a call of another of the layer's functions.
void with_memory(Body &body, const Target &target, std::int64_t bytes, const std::function<Expr(const Expr &)> &work) {
    Body inner;
    const Expr result = inner.let("result", work(Variable::make(pointer, "memory")));
    inner.then(freed("memory", target));
    inner.require(result == 0, result);
    body.then(with_malloc("memory", Expr(static_cast<std::uint64_t>(bytes)), static_cast<int>(Error::no_memory), target, inner.make()));
}

void require_pointers(Body &body, const Signature &signature, const Expr &batch) {
    // Nothing is read or written for an empty batch, so that its pointers may be null, as of an empty container.
    for (const Signature::Argument &each : signature.arguments) {
        if (each.type != pointer || each.name == "workspace") continue;
        const bool tensor = each.name == "input" || each.name == "output";
        const Expr here = !is_null(argument(each.name, each.type));
        body.require(tensor && !is_const(batch) ? here || batch == Expr(std::int64_t(0)) : here, Error::null_pointer);
    }
}

const Signature &signature_of(const std::vector<Signature> &all, const std::string &suffix) {
    return *std::find_if(all.begin(), all.end(), [&](const Signature &each) { return each.suffix == suffix; });
}

Expr wanted_parts(const Target &target) {
    const std::pair<Target::Feature, unsigned> parts[] = {
        {Target::SSE41, sepconv_x86_sse41},
        {Target::AVX, sepconv_x86_avx},
        {Target::F16C, sepconv_x86_f16c},
        {Target::FMA, sepconv_x86_fma},
        {Target::AVX2, sepconv_x86_avx2},
        {Target::AVX512, sepconv_x86_avx512},
        {Target::AVX512_Skylake, sepconv_x86_avx512_skylake},
        {Target::AVX512_Cannonlake, sepconv_x86_avx512_cannonlake},
        {Target::AVX512_Zen4, sepconv_x86_avx512_zen4},
        {Target::AVX512_Zen5, sepconv_x86_avx512_zen5},
        {Target::AVX512_SapphireRapids, sepconv_x86_avx512_sapphirerapids},
    };
    std::uint32_t wanted = 0;
    for (const auto &[feature, part] : parts) {
        if (target.has_feature(feature)) wanted |= part;
    }
    return Expr(wanted);
}

}  // namespace

std::vector<Signature> signatures(const Request &request) {
    using Argument = Signature::Argument;
    const std::string element = request.config.dtype == Dtype::float16 ? "uint16_t" : "float";
    const Argument input{"input", "const " + element + " *", pointer}, output{"output", element + " *", pointer};
    const Argument workspace{"workspace", "void *", pointer};
    const Argument input_strides{"input_strides", "const int64_t *", pointer}, output_strides{"output_strides", "const int64_t *", pointer};
    std::vector<Argument> weights, opens;
    if (!request.weights) weights.push_back({"weights", "const void *", pointer});
    const Extents size = extents(request);
    for (const auto &[name, extent] : {std::pair{"batch", size.batch}, {"height", size.height}, {"width", size.width}}) {
        if (extent == open) opens.push_back({name, "int64_t ", Int(64)});
    }
    const auto joined = [](const std::vector<std::vector<Argument>> &lists) {
        std::vector<Argument> all;
        for (const auto &list : lists) all.insert(all.end(), list.begin(), list.end());
        return all;
    };
    std::vector<Signature> all = {
        {"", joined({{input}, weights, {output}, opens})},
        {"_with_workspace", joined({{input}, weights, {output}, opens, {workspace}})},
        {"_strided", joined({{input, input_strides}, weights, {output, output_strides}, opens, {workspace}})},
    };
    if (!request.weights) {
        std::vector<Argument> kernels = {{"depthwise_kernel", "const float *", pointer}, {"pointwise_kernel", "const float *", pointer}};
        if (request.config.use_bias) kernels.push_back({"bias", "const float *", pointer});
        all.push_back({"_pack", joined({kernels, {{"weights", "void *", pointer}}})});
    }
    return all;
}

std::string prefix_for(const Request &request, const Machine &machine) {
    return request.machines.size() == 1 ? request.name : fmt::format("{}__{}", request.name, machine.suffix);
}

bool append_functions(Module &module, const Request &request, const Parts &parts, const std::string &prefix) {
    const std::vector<Signature> all = signatures(request);
    const std::int64_t bytes = parts.workspace_bytes();
    const Target &target = module.target();
    const Signature &plain = signature_of(all, ""), &with_workspace = signature_of(all, "_with_workspace"),
                    &strided = signature_of(all, "_strided");

    Body dense;
    const Sizes sizes(request, dense);
    require_pointers(dense, with_workspace, sizes.batch());
    if (bytes > 0) dense.require(!is_null(argument("workspace", pointer)), Error::null_pointer);
    call_pipeline(dense, parts.dense, parts, sizes, dense_strides(sizes.input()), dense_strides(sizes.output()), parts.form.flat,
                  argument("workspace", pointer));
    bool needs_runtime = append(module, request, prefix, with_workspace, dense);

    Body allocating;
    const auto with = [&](const Signature &signature, const Expr &workspace) {
        std::vector<Expr> arguments = passed(signature);
        if (signature.arguments.back().name == "workspace") arguments.pop_back();
        arguments.push_back(workspace);
        return arguments;
    };
    const Expr null = reinterpret(pointer, Expr(std::uint64_t(0)));
    if (bytes > 0) {
        with_memory(allocating, target, bytes,
                    [&](const Expr &workspace) { return call(prefix + with_workspace.suffix, with(plain, workspace)); });
    } else {
        const Expr result = allocating.let("result", call(prefix + with_workspace.suffix, with(plain, null)));
        allocating.require(result == 0, result);
    }
    append(module, request, prefix, plain, allocating);

    // Without a workspace it calls itself with one.
    Body any;
    const Sizes any_sizes(request, any);
    require_pointers(any, strided, any_sizes.batch());
    const StrideList from = open_strides("input_strides", any_sizes.input(), any),
                     to = open_strides("output_strides", any_sizes.output(), any);
    Body work;
    call_pipeline(work, parts.strided, parts, any_sizes, from, to, false, argument("workspace", pointer));
    if (bytes > 0) {
        Body taking;
        with_memory(taking, target, bytes, [&](const Expr &workspace) { return call(prefix + strided.suffix, with(strided, workspace)); });
        any.then(IfThenElse::make(is_null(argument("workspace", pointer)), taking.make(), work.make()));
    } else {
        any.then(work.make());
    }
    needs_runtime = append(module, request, prefix, strided, any) || needs_runtime;

    if (!request.weights) {
        const Signature &pack = signature_of(all, "_pack");
        Body packing;
        require_pointers(packing, pack, Expr(std::int64_t(1)));
        std::vector<Expr> arguments;
        const LayerConfig &config = request.config;
        const auto channels = static_cast<int>(extents(request).channels), multiplier = static_cast<int>(config.depth_multiplier),
                   filters = static_cast<int>(config.filters), width = static_cast<int>(config.kernel_size[1]),
                   height = static_cast<int>(config.kernel_size[0]);
        const auto dense_buffer = [&](const char *name, const std::vector<int> &sizes_of) {
            std::vector<Expr> extents, strides;
            int stride = 1;
            for (const int size : sizes_of) {
                extents.emplace_back(size);
                strides.emplace_back(stride);
                stride *= size;
            }
            return packing.let(std::string(name) + "_buffer", buffer(argument(name, pointer), Float(32), extents, strides, false));
        };
        arguments.push_back(dense_buffer("depthwise_kernel", {multiplier, channels, width, height}));
        arguments.push_back(dense_buffer("pointwise_kernel", {filters, channels * multiplier}));
        // Without a bias its place is filled with zeros, and nothing is read for it.
        arguments.push_back(config.use_bias ? dense_buffer("bias", {filters}) : arguments.back());
        for (const Expr &to_buffer : weight_buffers(parts)) {
            arguments.push_back(packing.let(fmt::format("packed_{}", arguments.size()), to_buffer));
        }
        const Expr result = packing.let("result", call(parts.packing.name, arguments));
        packing.require(result == 0, result);
        append(module, request, prefix, pack, packing);
    }
    return needs_runtime;
}

void append_dispatchers(Module &module, const Request &request) {
    for (const Signature &signature : signatures(request)) {
        Body body;
        Stmt choice = AssertStmt::make(const_false(), code(Error::wrong_cpu));
        for (auto machine = request.machines.rbegin(); machine != request.machines.rend(); ++machine) {
            Body taken;
            const Expr result = taken.let("result", call(prefix_for(request, *machine) + signature.suffix, passed(signature)));
            taken.require(result == 0, result);
            const Expr runs = call("sepconv_support_x86_has", {wanted_parts(machine->target)}) != 0;
            choice = IfThenElse::make(runs, taken.make(), choice);
        }
        body.then(choice);
        append(module, request, request.name, signature, body);
    }
}

}  // namespace sepconv::compiler
