// The whole layer as one fused pipeline, for both data formats: what is compiled for a known shape, and what autoschedulers work on.
// Any size may be left open (0); then it is read from the buffers.
#include "schedules/separable_conv2d.h"

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <sstream>

#include "Halide.h"
#include "activated.h"
#include "known_planes.h"
#include "known_shape.h"
#include "schedules/along_axes.h"
#include "schedules/gpu.h"
#include "stages.h"

namespace {

using namespace Halide;

enum class Padding { Valid, Same };

// The layer's arguments and what is known of its sizes.
template <typename Form>
class LayerGenerator : public Generator<Form> {
public:
    // The layer's arguments, under Keras' names where these are single numbers.
    GeneratorParam<bool> channels_first{"channels_first", false};
    /// Of the input and the output, float32 or float16: the values are converted where the image is read, and the results are rounded once,
    /// where they are stored. Where the target has no instructions that convert float16 it is given as uint16, its bits.
    GeneratorParam<Type> type{"type", Float(32)};
    /// In which everything before the activation is computed, and of the weights. float16 is for machines that compute in it.
    GeneratorParam<Type> sums{"sums", Float(32)};
    GeneratorParam<Padding> padding{"padding", Padding::Valid, {{"valid", Padding::Valid}, {"same", Padding::Same}}};
    GeneratorParam<int> kernel_height{"kernel_height", 3, 1, 1 << 20}, kernel_width{"kernel_width", 3, 1, 1 << 20};
    GeneratorParam<int> stride_y{"stride_y", 1, 1, 1 << 20}, stride_x{"stride_x", 1, 1, 1 << 20};
    GeneratorParam<int> dilation_y{"dilation_y", 1, 1, 1 << 20}, dilation_x{"dilation_x", 1, 1, 1 << 20};
    GeneratorParam<int> depth_multiplier{"depth_multiplier", 1, 1, 1 << 20};
    GeneratorParam<bool> use_bias{"use_bias", true};
    /// A name of enum ActivationKind.
    GeneratorParam<std::string> activation{"activation", "linear"};
    /// What softmax, log_softmax, sparsemax and glu work along: axes of the output as Keras counts them, the batch's 0, with commas
    /// between.
    GeneratorParam<std::string> axes{"axes", "-1"};
    /// The activation's parameters, as enum ActivationKind documents them.
    GeneratorParam<double> a{"a", 0}, b{"b", 0}, c{"c", 0};
    /// Of the input, and of the product; 0: open. A batch is worth knowing where an activation along axes comes after all of it: memory for
    /// the product then has a known size.
    GeneratorParam<int> batch{"batch", 0};
    GeneratorParam<int> height{"height", 0}, width{"width", 0}, channels{"channels", 0}, filters{"filters", 0};
    /// The weights come as the generator separable_conv2d_packing makes them of Keras' own; channels and filters must be known. Their
    /// order is the same for any `dense`; with channels_last also whether height and width are known or open, and for any `threads`.
    GeneratorParam<bool> packed_weights{"packed_weights", false};
    /// Where the layer is cut into tiles: input and output are dense. Otherwise all strides but the innermost, which is 1, are open.
    GeneratorParam<bool> dense{"dense", true};
    /// More than one: one loop over at most so many threads, each with a constant share of the tiles or of the filters.
    GeneratorParam<int> threads{"threads", 1, 1, 1 << 10};
    /// With every size known, for experiments; 0: chosen by the schedule. Tiles of the image, vectors of filters and pixels of a block of
    /// the product, neighbouring outputs of the depthwise stage in registers at once. In planes: vectors of pixels, and filters; rows.
    GeneratorParam<int> tiles{"tiles", 0}, vectors{"vectors", 0}, rows{"rows", 0}, together{"together", 0};
    /// channels_first with every size known, for experiments: tiles are turned to channels_last and back, or computed in planes.
    GeneratorParam<sepconv::PlaneForm> form{
        "form",
        sepconv::PlaneForm::chosen,
        {{"chosen", sepconv::PlaneForm::chosen}, {"turned", sepconv::PlaneForm::turned}, {"planes", sepconv::PlaneForm::planes}}};

protected:
    sepconv::KnownShape shape() const {
        auto axis = [&](int size, int kernel, int stride, int dilation) {
            const Expr before = size == 0 ? Expr(0) : simplify(zeros_before(size, kernel, stride, dilation));
            return sepconv::KnownAxis{size, extent(size, kernel, stride, dilation), kernel, stride, dilation, int(*as_const_int(before))};
        };
        return sepconv::spread_multiplier(
            {axis(width, kernel_width, stride_x, dilation_x), axis(height, kernel_height, stride_y, dilation_y), channels, depth_multiplier,
             filters, channels_first, type, sums},
            this->target);
    }

    sepconv::KnownTiles choose_tiles() const {
        return sepconv::choose_tiles(shape(), {threads, tiles, vectors, rows, together, form}, this->target);
    }

    // Keras' rule: outputs, and zeros before the first input.
    Expr zeros_before(const Expr &size, int kernel, int stride, int dilation) const {
        if (padding == Padding::Valid) return 0;
        const Expr outputs = (size + stride - 1) / stride;
        return max(0, (outputs - 1) * stride + (kernel - 1) * dilation + 1 - size) / 2;
    }
    template <typename Size>
    Size outputs(const Size &size, int kernel, int stride, int dilation) const {
        if (padding == Padding::Same) return (size + (stride - 1)) / stride;
        return (size - ((kernel - 1) * dilation + 1)) / stride + 1;
    }
    int extent(int size, int kernel, int stride, int dilation) const { return size == 0 ? 0 : outputs(size, kernel, stride, dilation); }
};

class SeparableConv2D : public LayerGenerator<SeparableConv2D> {
public:
    /// channels_last: (c, x, y, n); channels_first: (x, y, c, n).
    Input<Buffer<void, 4>> input{"input"};
    /// Keras' own layout: (multiplier, c, x, y), and (filter, depthwise channel). For a float16 layer their values are rounded to it.
    Input<Buffer<void, 4>> depthwise_kernel{"depthwise_kernel"};
    Input<Buffer<void, 2>> pointwise_kernel{"pointwise_kernel"};
    /// (filter); not read where use_bias is false.
    Input<Buffer<void, 1>> bias{"bias"};
    /// channels_last: (filter, x, y, n); channels_first: (x, y, filter, n). With packed weights, where height and width are known, all
    /// is dense and the activation is elementwise, x and y are one dimension, the pixels of all rows in their order. glu halves its axis.
    Output<Buffer<>> output{"output"};

    void configure() {
        output.set_dimensions(flat_output() ? 3 : 4);
        output.set_type(memory_type());
        input.set_type(memory_type());
        depthwise_kernel.set_type(sums);
        pointwise_kernel.set_type(sums);
        bias.set_type(sums);
    }

    void generate() {
        if (in_tiles()) return generate_known_shape();
        _halide_user_assert(!packed_weights) << "packed_weights: expected a CPU, channels and filters above 0, and no autoscheduler\n";
        const Expr image_width = known(width, input.dim(x_at()).extent()), image_height = known(height, input.dim(y_at()).extent());
        const Expr image_channels = known(channels, input.dim(c_at()).extent());
        const Expr depthwise_channels = image_channels * int(depth_multiplier);
        // A GPU computes whole tiles: beyond the last channel or filter the last one is read.
        auto within = [&](const Expr &i, const Expr &extent) { return on_gpu() ? min(i, extent - 1) : i; };
        const Expr before_x = zeros_before(image_width, kernel_width, stride_x, dilation_x);
        const Expr before_y = zeros_before(image_height, kernel_height, stride_y, dilation_y);
        auto at = [&](const Expr &channel, const Expr &column, const Expr &row) {
            return channels_first ? std::vector<Expr>{column, row, channel, n} : std::vector<Expr>{channel, column, row, n};
        };

        stages.padded = Func("padded");
        stages.padded(order(channel)) =
            sepconv::padded_stage([&](const Expr &i, const Expr &j) { return sepconv::from_memory(input(at(channel, i, j)), sums); },
                                  x - before_x, y - before_y, image_width, image_height);

        const sepconv::Window window{int(kernel_width), int(kernel_height), int(stride_x), int(stride_y), int(dilation_x), int(dilation_y)};
        stages.taps = RDom(0, int(kernel_width), 0, int(kernel_height), "taps");
        const int multiplier = depth_multiplier;
        const Expr from = within(multiplier == 1 ? Expr(q) : q / multiplier, image_channels);
        const Expr which = multiplier == 1 ? Expr(0) : q % multiplier;
        const bool keep_order = sepconv::keep_order(target);
        stages.depthwise = sepconv::depthwise_stage(
            order(q), x, y, window, stages.taps, [&](const Expr &i, const Expr &j) { return stages.padded(at(from, i, j)); },
            [&](const Expr &i, const Expr &j) { return depthwise_kernel(which, from, i, j); }, keep_order);

        const Expr nearest = within(filter, known(filters, pointwise_kernel.dim(0).extent()));
        const Expr initial = use_bias ? Expr(bias(nearest)) : cast(sums, 0);
        if (on_gpu()) {
            multiply_chunks(nearest, initial, depthwise_channels);
        } else {
            stages.reduction = RDom(0, depthwise_channels, "reduction");
            const Expr step = stages.reduction.x;
            stages.pointwise = sepconv::pointwise_stage(
                order(filter), initial, {{stages.reduction, stages.depthwise(at(step, x, y)), pointwise_kernel(filter, step)}}, keep_order);
        }

        if (works_along_axes()) {
            product = Func("product");
            product(order(filter)) = stages.pointwise(order(filter));
            activate_along_axes(order(filter), [&](const std::vector<Expr> &element) { return Expr(product(element)); });
        } else {
            output(order(filter)) = activated(stages.pointwise(order(filter)));
        }

        promise_sizes();
        if (on_gpu() && every_size_known()) promise_dense();
    }

    void schedule() {
        if (using_autoscheduler()) return;
        const Func layer = works_along_axes() ? product : Func(output);
        if (in_tiles() && cut.planes) {
            sepconv::schedule_known_planes(layer, plane_stages, shape(), cut, target);
        } else if (in_tiles()) {
            sepconv::schedule_known_shape(layer, 0, known_stages, shape(), cut, target);
            for (std::size_t i = 0; i < cut.over.size(); i++) {
                sepconv::schedule_known_shape(layer, static_cast<int>(i) + 1, stages_over[i], shape(), cut.over[i], target);
            }
        } else if (on_gpu()) {
            gpu_stages.stored = layer;
            gpu_stages.depthwise = stages.depthwise, gpu_stages.pointwise = stages.pointwise, gpu_stages.taps = stages.taps;
            sepconv::schedule_gpu(gpu_stages, {filter, x, y, n}, q, gpu_tiles(), channels_first);
        } else if (channels_first) {
            sepconv::schedule_separable_conv2d_channels_first(layer, stages, {x, y, filter, n}, q, layer_sizes(), target);
        } else {
            sepconv::schedule_separable_conv2d(layer, stages, {filter, x, y, n}, q, layer_sizes(), target);
        }
        if (!works_along_axes()) return;
        product.compute_root();
        if (on_gpu()) {
            sepconv::schedule_gpu_along_axes(output, along_stages, output_axes());
        } else {
            sepconv::schedule_along_axes(output, along_stages, output_axes(), in_tiles() ? cut.tile_groups * cut.filter_groups : 1, target);
        }
    }

private:
    // On a CPU, what the order of the weights depends on is known.
    bool in_tiles() const {
        const bool known = channels > 0 && filters > 0 && ((height > 0 && width > 0) || packed_weights);
        return known && !using_autoscheduler() && !target.value().has_gpu_feature() && sepconv::fits_tiles(shape(), choose_tiles());
    }
    // Which dimension of an image has its channels, columns and rows.
    int c_at() const { return channels_first ? 2 : 0; }
    int x_at() const { return channels_first ? 0 : 1; }
    int y_at() const { return channels_first ? 1 : 2; }
    // The dimensions of an image whose channels have this one.
    std::vector<Var> order(const Var &channel) const {
        return channels_first ? std::vector<Var>{x, y, channel, n} : std::vector<Var>{channel, x, y, n};
    }
    bool every_size_known() const { return height > 0 && width > 0 && channels > 0 && filters > 0; }

    bool on_gpu() const { return target.value().has_gpu_feature() && !using_autoscheduler(); }

    sepconv::LayerSizes layer_sizes() const {
        return {extent(width, kernel_width, stride_x, dilation_x),
                extent(height, kernel_height, stride_y, dilation_y),
                channels,
                filters,
                depth_multiplier,
                int(kernel_width) * int(kernel_height)};
    }
    sepconv::GpuTiles gpu_tiles() const { return sepconv::choose_gpu_tiles(layer_sizes(), channels_first, target); }

    // The matrix product in chunks of the depthwise channels, the last one filled up with zeros.
    // @param nearest  the filter to read
    void multiply_chunks(const Expr &nearest, const Expr &initial, const Expr &depthwise_channels) {
        const int length = gpu_tiles().channels;
        const bool even = channels > 0 && int(channels) * int(depth_multiplier) % length == 0;
        // By bits: of a select Halide would compute the depthwise stage under its condition, drop the clamps there as needless, and then
        // take the reads of all the chunk to be those that it makes.
        auto filled_up = [&](const Expr &value) {
            if (even) return value;
            return reinterpret<float>(reinterpret<int>(value) & -cast<int>(q < depthwise_channels));
        };
        sepconv::GpuStages &gpu = gpu_stages;
        gpu.chunk = Func("chunk"), gpu.panel = Func("panel");
        gpu.chunk(order(q)) = filled_up(stages.depthwise(order(q)));
        gpu.panel(filter, q) = filled_up(pointwise_kernel(nearest, even ? Expr(q) : min(q, depthwise_channels - 1)));
        gpu.steps = RDom(0, length, "steps"), gpu.chunks = RDom(0, (depthwise_channels + length - 1) / length, "chunks");
        const Expr step = number * length + gpu.steps.x;
        std::vector<Expr> from;
        for (const Var &dimension : order(q)) from.push_back(dimension.name() == q.name() ? step : Expr(dimension));
        std::vector<Var> of_chunk = order(filter);
        of_chunk.push_back(number);
        gpu.partial = sepconv::pointwise_stage(of_chunk, 0.0f, {{gpu.steps, gpu.chunk(from), gpu.panel(filter, step)}}, false);
        std::vector<Expr> sum(of_chunk.begin(), of_chunk.end());
        sum.back() = gpu.chunks.x;
        stages.pointwise = sepconv::pointwise_stage(order(filter), initial, {{gpu.chunks, gpu.partial(sum), 1.0f}}, false);
    }
    Type memory_type() const { return sepconv::in_memory(type, target); }
    bool flat_output() const { return packed_weights && dense && height > 0 && width > 0 && !works_along_axes(); }

    bool works_along_axes() const { return sepconv::works_along_axes(activation); }

    Expr activated(const Expr &value) const {
        return sepconv::to_memory(sepconv::activated(cast<float>(value), activation, float(a), float(b), float(c)), memory_type());
    }

    // Of the output's dimensions, innermost first, whether the activation works along them.
    std::vector<bool> along() const {
        constexpr int rank = 4;
        std::vector<bool> along(rank);
        std::istringstream list(axes.value());
        for (std::string word; works_along_axes() && std::getline(list, word, ',');) {
            char *end = nullptr;
            const long axis = std::strtol(word.c_str(), &end, 10);
            _halide_user_assert(!word.empty() && *end == 0 && axis >= -rank && axis < rank && !along[(rank - 1 - axis) % rank])
                << "axes: expected numbers from -4 to 3, each axis once, found \"" << axes.value() << "\"\n";
            along[(rank - 1 - axis) % rank] = true;
        }
        const auto count = std::count(along.begin(), along.end(), true);
        _halide_user_assert(!works_along_axes() || count == 1 || (count > 1 && activation.value() == "softmax"))
            << "axes: expected one axis, or for softmax at least one, found \"" << axes.value() << "\"\n";
        return along;
    }

    // An extent of the output's dimension for the product's.
    template <typename Extent>
    Extent stored(int dimension, const Extent &of_product) const {
        return activation.value() == "glu" && along()[dimension] ? of_product / 2 : of_product;
    }

    // The output's extents, innermost first; 0: open.
    std::vector<int> output_extents() const {
        const sepconv::LayerSizes sizes = layer_sizes();
        std::vector<int> extents = channels_first ? std::vector<int>{sizes.width, sizes.height, filters, batch}
                                                  : std::vector<int>{filters, sizes.width, sizes.height, batch};
        for (int i = 0; i < int(extents.size()); i++) extents[i] = stored(i, extents[i]);
        return extents;
    }

    sepconv::OutputAxes output_axes() const { return {output_extents(), along()}; }

    // @param dimensions  the output's
    // @param product  its value there before the activation
    void activate_along_axes(const std::vector<Var> &dimensions, const std::function<Expr(const std::vector<Expr> &)> &product) {
        const sepconv::OutputAxes shape = output_axes();
        const auto in_float32 = [&](const std::vector<Expr> &at) { return cast<float>(product(at)); };
        sepconv::AxesInput input = {in_float32, dimensions, shape.along, {}};
        for (int i = 0; i < int(dimensions.size()); i++) input.extents.push_back(known(shape.extents[i], output.dim(i).extent()));
        if (on_gpu()) {
            const bool by_row = shape.along == std::vector<bool>{true, false, false, false};
            along_stages = sepconv::along_axes(input, activation, by_row ? sepconv::gpu_row_lanes : 1, false);
        } else if (using_autoscheduler()) {
            along_stages = sepconv::along_axes(input, activation, 0);
        } else {
            along_stages = sepconv::along_axes(input, activation, natural_vector_size<float>(), true, shape.whole_vectors());
        }
        output(dimensions) = sepconv::to_memory(along_stages.value, memory_type());
    }

    // Every distance but the last is the product of the extents before it; the last extent stays open where it is not given.
    template <typename Buffer>
    static void make_dense(Buffer &buffer, const std::vector<Expr> &extents) {
        Expr stride = 1;
        for (int i = 0; i < buffer.dimensions(); i++) {
            auto dimension = buffer.dim(i);
            dimension.set_min(0).set_stride(stride);
            if (i == int(extents.size())) return;
            dimension.set_extent(extents[i]);
            stride = simplify(stride * extents[i]);
        }
    }
    template <typename Buffer>
    static void make_dense(Buffer &buffer, const std::vector<int> &extents) {
        make_dense(buffer, std::vector<Expr>(extents.begin(), extents.end()));
    }

    // Every size is known.
    void promise_dense() {
        make_dense(input, channels_first ? std::vector<int>{width, height, channels} : std::vector<int>{channels, width, height});
        std::vector<int> extents = output_extents();
        extents.pop_back();
        make_dense(output, extents);
        make_dense(depthwise_kernel, std::vector<int>{depth_multiplier, channels, kernel_width});
        make_dense(pointwise_kernel, std::vector<int>{filters});
    }

    void generate_known_shape() {
        const sepconv::KnownShape known_shape = shape();
        cut = choose_tiles();
        auto sizes_of = [&](int promised, const Expr &given, int kernel, int stride, int dilation) {
            const Expr size = known(promised, given);
            return sepconv::AxisSizes{size, simplify(outputs(size, kernel, stride, dilation)),
                                      simplify(zeros_before(size, kernel, stride, dilation))};
        };
        const sepconv::ImageSizes sizes = {sizes_of(width, input.dim(x_at()).extent(), kernel_width, stride_x, dilation_x),
                                           sizes_of(height, input.dim(y_at()).extent(), kernel_height, stride_y, dilation_y)};
        const sepconv::KnownWeights weights{packed_weights, depthwise_kernel, pointwise_kernel, use_bias ? Func(bias) : Func()};
        // A product that is whole before its activation is dense, whatever the output is.
        const bool apart = works_along_axes(), flat = apart ? known_shape.known() : flat_output();
        product = Func("product");
        const Func layer = apart ? product : Func(output);
        const auto finished = [&](const Expr &value) { return apart ? value : activated(value); };
        const sepconv::OutputMemory memory = flat             ? sepconv::OutputMemory::flat
                                             : dense || apart ? sepconv::OutputMemory::dense
                                                              : sepconv::OutputMemory::strided;
        const bool keep_order = sepconv::keep_order(target);
        if (cut.planes) {
            plane_stages = sepconv::known_planes(layer, input, weights, known_shape, cut, finished, keep_order, memory);
        } else {
            const auto stages_of = [&](const sepconv::KnownTiles &part, const sepconv::KnownWeights &packed) {
                return sepconv::known_shape(layer, input, packed, known_shape, sizes, part, finished, keep_order, memory);
            };
            known_stages = stages_of(cut, weights);
            const sepconv::KnownWeights packed = {true, known_stages.taps, known_stages.panels, known_stages.bias};
            for (const sepconv::KnownTiles &over : cut.over) stages_over.push_back(stages_of(over, weights.packed ? weights : packed));
        }
        if (apart) {
            activate_along_axes(order(filter), [&](const std::vector<Expr> &at) {
                if (!flat) return Expr(product(at));
                const Expr pixel = at[y_at()] * known_shape.x.output + at[x_at()];
                return Expr(channels_first ? product(pixel, at[c_at()], at[3]) : product(at[c_at()], pixel, at[3]));
            });
        }
        promise_sizes();
        if (!flat_output()) {
            output.dim(x_at()).set_extent(stored(x_at(), sizes.x.output));
            output.dim(y_at()).set_extent(stored(y_at(), sizes.y.output));
        }
        if (dense) {
            auto in_order = [&](const Expr &channels, std::vector<Expr> pixels) {
                pixels.insert(channels_first ? pixels.end() : pixels.begin(), channels);
                return pixels;
            };
            make_dense(input, in_order(int(channels), {sizes.x.input, sizes.y.input}));
            if (flat_output()) {
                make_dense(output, in_order(int(filters), {known_shape.x.output * known_shape.y.output}));
            } else {
                make_dense(output,
                           in_order(stored(c_at(), int(filters)), {stored(x_at(), sizes.x.output), stored(y_at(), sizes.y.output)}));
            }
        }
        if (packed_weights) {
            make_dense(depthwise_kernel, sepconv::packed_taps_extents(known_shape, cut));
            make_dense(pointwise_kernel, std::vector<int>{sepconv::packed_panels_floats(known_shape, cut), 1});
            make_dense(bias, std::vector<int>{sepconv::packed_filters(known_shape, cut)});
        }
    }

    void promise_sizes() {
        // The sizes that are known, and for autoschedulers a guess at the others.
        auto say = [&](int promised, int guess, auto dimension) {
            if (promised > 0) dimension.set_bounds(0, promised);
            dimension.set_estimate(0, promised > 0 ? promised : guess);
        };
        constexpr int guess = 32;
        say(channels, guess, input.dim(c_at()));
        say(width, guess, input.dim(x_at()));
        say(height, guess, input.dim(y_at()));
        say(batch, 1, input.dim(3));
        if (packed_weights) {
            const std::vector<int> taps = sepconv::packed_taps_extents(shape(), cut);
            for (int i = 0; i < 4; i++) say(taps[i], 0, depthwise_kernel.dim(i));
            say(sepconv::packed_panels_floats(shape(), cut), 0, pointwise_kernel.dim(0));
            say(1, 0, pointwise_kernel.dim(1));
            say(sepconv::packed_filters(shape(), cut), 0, bias.dim(0));
        } else {
            say(depth_multiplier, 0, depthwise_kernel.dim(0));
            say(channels, guess, depthwise_kernel.dim(1));
            say(kernel_width, 0, depthwise_kernel.dim(2));
            say(kernel_height, 0, depthwise_kernel.dim(3));
            say(filters, guess, pointwise_kernel.dim(0));
            say(int(channels) * int(depth_multiplier), guess * int(depth_multiplier), pointwise_kernel.dim(1));
            say(filters, guess, bias.dim(0));
        }
        const std::vector<int> extents = output_extents();
        if (flat_output()) {
            say(filters, 0, output.dim(channels_first ? 1 : 0));
            say(extents[x_at()] * extents[y_at()], 0, output.dim(channels_first ? 0 : 1));
            say(batch, 1, output.dim(2));
        } else {
            for (int i = 0; i < 4; i++) say(extents[i], i == 3 ? 1 : guess, output.dim(i));
        }
        for (int i = 0; i < output.dimensions(); i++) output.dim(i).set_min(0);
        for (int i = 0; i < 4; i++) {
            input.dim(i).set_min(0);
            depthwise_kernel.dim(i).set_min(0);
        }
        pointwise_kernel.dim(0).set_min(0);
        pointwise_kernel.dim(1).set_min(0);
        bias.dim(0).set_min(0);
    }

    static Expr known(int promised, const Expr &given) { return promised > 0 ? Expr(promised) : given; }

    Var x{"x"}, y{"y"}, n{"n"}, channel{"channel"}, q{"q"}, filter{"filter"};
    Var number{"number"};
    Func product;  ///< the layer without its activation, where that works along axes
    sepconv::AlongAxes along_stages;
    sepconv::LayerStages stages;
    sepconv::GpuStages gpu_stages;
    sepconv::KnownTiles cut;
    sepconv::KnownStages known_stages;
    std::vector<sepconv::KnownStages> stages_over;
    sepconv::PlaneStages plane_stages;
};

// Keras' weights as separable_conv2d takes them packed: given the same parameters and target it cuts the layer alike.
class SeparableConv2DPacking : public LayerGenerator<SeparableConv2DPacking> {
public:
    /// In Keras' own layout, as separable_conv2d has it. They are rounded to `type`.
    Input<Buffer<float, 4>> depthwise_kernel{"depthwise_kernel"};
    Input<Buffer<float, 2>> pointwise_kernel{"pointwise_kernel"};
    Input<Buffer<float, 1>> bias{"bias"};
    /// (lane, x, y, block·multiplier), (float, 0) and (filter): generators/known_shape.h.
    Output<Buffer<void, 4>> taps{"taps"};
    Output<Buffer<void, 2>> panels{"panels"};
    Output<Buffer<void, 1>> padded_bias{"padded_bias"};

    void configure() {
        taps.set_type(sums);
        panels.set_type(sums);
        padded_bias.set_type(sums);
    }

    void generate() {
        _halide_user_assert(channels > 0 && filters > 0) << "separable_conv2d_packing: expected channels and filters above 0\n";
        const sepconv::KnownShape known = shape();
        const sepconv::KnownTiles cut = choose_tiles();
        const Func packed_taps = sepconv::packed_taps(rounded(depthwise_kernel), known, cut);
        const Func packed_panels = sepconv::packed_panels(rounded(pointwise_kernel), known, cut);
        const Func packed_bias = sepconv::packed_bias(rounded(bias), known);
        taps(_) = packed_taps(_);
        panels(_) = packed_panels(_);
        padded_bias(filter) = use_bias ? Expr(packed_bias(filter)) : cast(sums, 0);
        const std::vector<int> extents = sepconv::packed_taps_extents(known, cut);
        for (int i = 0; i < 4; i++) taps.dim(i).set_bounds(0, extents[i]);
        panels.dim(0).set_bounds(0, sepconv::packed_panels_floats(known, cut));
        panels.dim(1).set_bounds(0, 1);
        padded_bias.dim(0).set_bounds(0, sepconv::packed_filters(shape(), cut));
    }
    void schedule() {}

private:
    Func rounded(const Func &kernel) const {
        Func rounded("rounded");
        rounded(_) = sepconv::from_memory(sepconv::to_memory(kernel(_), sepconv::in_memory(type, target)), sums);
        return rounded;
    }

    Var filter{"filter"};
};

}  // namespace

HALIDE_REGISTER_GENERATOR(SeparableConv2D, separable_conv2d)
HALIDE_REGISTER_GENERATOR(SeparableConv2DPacking, separable_conv2d_packing)
