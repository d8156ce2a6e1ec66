// The tile loop, for both data formats: depthwise → scratch → product with bias and clamp → activation.
#include "tile_loop.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <limits>
#include <type_traits>

#include "axis.h"
#include "sepconv/float16.h"
#include "threads.h"

namespace sepconv {
namespace {

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }

// A buffer on the stack; all minima are 0.
template <int rank>
struct Buffer {
    halide_dimension_t dimensions[rank];
    halide_buffer_t buffer;

    template <typename T>
    explicit Buffer(const T *values) : buffer() {
        buffer.host = reinterpret_cast<std::uint8_t *>(const_cast<T *>(values));
        buffer.type = halide_type_t(halide_type_float, 8 * sizeof(T));
        buffer.dimensions = rank;
        buffer.dim = dimensions;
    }
    Buffer(const Buffer &) = delete;
    Buffer &dim(int i, std::int64_t extent, std::int64_t stride) {
        dimensions[i] = halide_dimension_t(0, static_cast<std::int32_t>(extent), static_cast<std::int32_t>(stride));
        return *this;
    }
    operator halide_buffer_t *() { return &buffer; }
};

// Where the range of `count` positions from `start` on, `step` apart, meets [0, size): how many lie before, and how many inside.
struct Border {
    std::int64_t before, inside;
    Border(std::int64_t before, std::int64_t inside) : before(before), inside(inside) {}
    Border(std::int64_t start, std::int64_t count, std::int64_t step, std::int64_t size) {
        before = std::clamp<std::int64_t>(ceil_div(-start, step), 0, count);
        inside = std::clamp<std::int64_t>(ceil_div(size - start, step), before, count) - before;
    }
};

// Reads an image of the type In, computes in Value, and writes Out.
template <typename In, typename Value, typename Out>
class TileLoop {
public:
    TileLoop(const Plan &plan, const PackedWeights &packed, const Activation &activation, const TensorView<const In> &input,
             const TensorView<Out> &output)
        : plan_(plan), packed_(packed), activation_(activation), input_(input), output_(output) {
        const bool first = plan.format == DataFormat::channels_first;
        in_x_ = input.strides[first ? 3 : 2], in_y_ = input.strides[first ? 2 : 1], in_c_ = first ? input.strides[1] : 1;
        out_x_ = output.strides[first ? 3 : 2], out_y_ = output.strides[first ? 2 : 1], out_f_ = first ? output.strides[1] : 1;
    }

    void run_tile(const Tile &tile, Value *scratch) const {
        if (tile.height == 0) return;  // the last phases may have a row less than the others
        Value *strip = scratch + plan_.scratch_values, *temporary = strip + plan_.strip_values;
        depthwise(tile, 0, 1, scratch, strip);
        pointwise(tile, tile.part, tile.parts, scratch, strip, target_of(tile, temporary));
        finish(tile, 0, 1, temporary);
    }

    // A tile that several tasks share: each part does its share of a stage, and all wait for it before the next. Each has a strip of its
    // own.
    void depthwise_part(const Tile &tile, int part, Value *scratch) const {
        if (tile.height > 0) depthwise(tile, part, plan_.tasks, scratch, strip_of(part, scratch));
    }
    void pointwise_part(const Tile &tile, int part, Value *scratch) const {
        if (tile.height > 0) pointwise(tile, part, plan_.tasks, scratch, strip_of(part, scratch), target_of(tile, temporary_of(scratch)));
    }
    void finish_part(const Tile &tile, int part, Value *scratch) const {
        if (tile.height > 0) finish(tile, part, plan_.tasks, temporary_of(scratch));
    }

private:
    // Values somewhere, and the strides of pixels, rows and filters.
    template <typename T>
    struct Place {
        T *data;
        std::int64_t x, y, f;
    };
    using Target = Place<Value>;  // where the product writes

    Value *strip_of(int part, Value *scratch) const { return scratch + plan_.scratch_values + plan_.strip_values * part; }
    Value *temporary_of(Value *scratch) const { return strip_of(plan_.tasks, scratch); }

    Place<Out> output_of(const Tile &tile) const {
        Out *data = output_.data + tile.image * output_.strides[0] + (tile.phase + tile.y * plan_.y.step) * out_y_ + tile.x * out_x_;
        return {data, out_x_, out_y_ * plan_.y.step, out_f_};
    }

    // A dense tile of some rows of some pixels with some filters.
    Target dense(Value *data, std::int64_t height, std::int64_t width, std::int64_t filters) const {
        const bool first = plan_.format == DataFormat::channels_first;
        return {data, first ? 1 : filters, width * (first ? 1 : filters), first ? width * height : 1};
    }

    // The output itself, or a tile of its own for what cannot stay where the product puts it.
    Target target_of(const Tile &tile, Value *temporary) const {
        if constexpr (std::is_same_v<Value, Out>) {
            if (plan_.temporary_values == 0) return output_of(tile);
        }
        return dense(temporary, tile.height, tile.width, plan_.filters);
    }

    void depthwise(const Tile &tile, int part, int parts, Value *scratch, Value *strip) const {
        if (plan_.planes()) {
            depthwise_channels_first(tile, scratch, strip);
        } else if (plan_.transposed) {
            depthwise_transposed(tile, Share(packed_.blocks.count, part, parts), scratch, strip);
        } else {
            depthwise_channels_last(tile, Share(packed_.blocks.count, part, parts), scratch, strip);
        }
    }

    // ---- depthwise, channels_last: scratch (lane, pixel, multiplier, block)

    // What the windows of a rectangle of outputs read: columns and rows (of a phase of a dilation), of which some lie in the image; where
    // these begin.
    struct Reach {
        std::int64_t width, height;
        Border x, y;
        const In *image;
    };

    Reach reach_of(const Tile &tile, std::int64_t x0, std::int64_t x1, std::int64_t y0, std::int64_t y1) const {
        const std::int64_t width = plan_.x.span(x1 - x0), height = plan_.y.span(y1 - y0), step = plan_.y.step;
        const std::int64_t column = plan_.x.position(0, tile.x + x0), row = plan_.y.position(tile.phase, tile.y + y0);
        const Border x(column, width, 1, plan_.x.input), y(row, height, step, plan_.y.input);
        const In *image = input_.data + tile.image * input_.strides[0];
        if (x.inside > 0 && y.inside > 0) image += (row + y.before * step) * in_y_ + (column + x.before) * in_x_;
        return {width, height, x, y, image};
    }

    void depthwise_channels_last(const Tile &tile, const Share &blocks, Value *scratch, Value *strip) const {
        const Axis &x = plan_.x, &y = plan_.y;
        if (plan_.bordered) return from_image(tile, blocks, 0, tile.width, 0, tile.height, scratch);
        if (!plan_.direct) return from_strip(tile, blocks, 0, tile.width, 0, tile.height, scratch, strip);
        // The outputs whose taps all lie in the image.
        auto inside = [](const Axis &axis, std::int64_t phase, std::int64_t start, std::int64_t count, std::int64_t &begin,
                         std::int64_t &end) {
            const std::int64_t position = axis.position(phase, start), step = axis.step > 1 ? axis.step : axis.stride;
            const std::int64_t reach = (axis.taps - 1) * axis.dilation;
            begin = std::clamp<std::int64_t>(ceil_div(-position, step), 0, count);
            end = std::clamp<std::int64_t>(ceil_div(axis.input - reach - position, step), begin, count);
        };
        std::int64_t x0, x1, y0, y1;
        inside(x, 0, tile.x, tile.width, x0, x1);
        inside(y, tile.phase, tile.y, tile.height, y0, y1);
        if (x1 - x0 < plan_.depthwise->params.together || y0 == y1) {
            return from_strip(tile, blocks, 0, tile.width, 0, tile.height, scratch, strip);
        }
        from_strip(tile, blocks, 0, tile.width, 0, y0, scratch, strip);
        from_strip(tile, blocks, 0, x0, y0, y1, scratch, strip);
        from_image(tile, blocks, x0, x1, y0, y1, scratch);
        from_strip(tile, blocks, x1, tile.width, y0, y1, scratch, strip);
        from_strip(tile, blocks, 0, tile.width, y1, tile.height, scratch, strip);
    }

    void from_image(const Tile &tile, const Share &blocks, std::int64_t x0, std::int64_t x1, std::int64_t y0, std::int64_t y1,
                    Value *scratch) const {
        if (!plan_.fetch_ahead) return read_image(tile, blocks, reach_of(tile, x0, x1, y0, y1), x0, x1, y0, y1, scratch);
        // A few rows, so that they are still there when the function comes to them.
        constexpr std::int64_t band = 4;
        std::int64_t fetched = 0;  // rows from what the output at y0 reads first
        for (std::int64_t y = y0; y < y1; y += band) {
            const std::int64_t end = std::min(y + band, y1), first = (y - y0) * plan_.y.stride_in_phase();
            const Reach reach = reach_of(tile, x0, x1, y, end);
            fetch_rows(reach, std::max<std::int64_t>(fetched - first - reach.y.before, 0));
            fetched = first + reach.y.before + reach.y.inside;
            read_image(tile, blocks, reach, x0, x1, y, end, scratch);
        }
    }

    // The rows from `begin` on that lie in the image, in the order of memory.
    void fetch_rows(const Reach &reach, std::int64_t begin) const {
        constexpr std::int64_t line = 64 / sizeof(In);
        const std::int64_t length = (reach.x.inside - 1) * in_x_ + plan_.channels;
        for (std::int64_t row = begin; row < reach.y.inside; row++) {
            const In *values = reach.image + row * in_y_ * plan_.y.step;
            // Read and not only prefetched: GCC 12 takes a function that does nothing but prefetch for one that does nothing.
            for (std::int64_t i = 0; i < length; i += line) static_cast<void>(reinterpret_cast<const volatile char *>(values + i)[0]);
        }
    }

    void read_image(const Tile &tile, const Share &blocks, const Reach &reach, std::int64_t x0, std::int64_t x1, std::int64_t y0,
                    std::int64_t y1, Value *scratch) const {
        const std::int64_t lanes = packed_.blocks.lanes, end = blocks.first + blocks.count, whole = std::min(plan_.channels / lanes, end);
        auto run = [&](std::int64_t block, std::int64_t count) {
            Buffer<4> padded(reach.image + packed_.blocks.first_of(block, plan_.channels));
            padded.dim(0, lanes, 1).dim(1, reach.x.inside, in_x_).dim(2, reach.y.inside, in_y_ * plan_.y.step).dim(3, count, lanes);
            padded.dimensions[1].min = static_cast<std::int32_t>(reach.x.before);
            padded.dimensions[2].min = static_cast<std::int32_t>(reach.y.before);
            call_depthwise(*plan_.depthwise, tile, padded, block, count, x0, x1, y0, y1, scratch);
        };
        if (whole > blocks.first) run(blocks.first, whole - blocks.first);
        if (whole < end) run(whole, 1);
    }

    void from_strip(const Tile &tile, const Share &blocks, std::int64_t x0, std::int64_t x1, std::int64_t y0, std::int64_t y1,
                    Value *scratch, Value *strip) const {
        if (x0 >= x1 || y0 >= y1) return;
        const auto [width, height, border_x, border_y, image] = reach_of(tile, x0, x1, y0, y1);
        const std::int64_t lanes = packed_.blocks.lanes, step = plan_.y.step;
        const std::int64_t end = blocks.first + blocks.count;
        for (std::int64_t block = blocks.first; block < end; block += plan_.strip_blocks) {
            const std::int64_t count = std::min(plan_.strip_blocks, end - block), first = block * lanes;
            const std::int64_t channels = plan_.channels - first;
            // A last block that begins before its place belongs to its own channels: pass it alone.
            const bool shifted = !packed_.blocks.narrow && channels < lanes;
            Buffer<3> pixels(image + (shifted ? plan_.channels - lanes : first) / packed_.spread);
            pixels.dim(0, shifted ? lanes : channels, 1).dim(1, border_x.inside, in_x_).dim(2, border_y.inside, in_y_ * step);
            Buffer<4> padded(strip);
            padded.dim(0, lanes, 1).dim(1, width, lanes).dim(2, height, lanes * width).dim(3, count, lanes * width * height);
            // The columns of the image from one on, where the zeros around are there already.
            auto rest = [&](std::int64_t from) {
                Buffer<4> inside(strip + (border_y.before * width + border_x.before + from) * lanes);
                inside.dim(0, lanes, 1).dim(1, border_x.inside - from, lanes).dim(2, border_y.inside, lanes * width);
                inside.dim(3, count, lanes * width * height);
                pixels.buffer.host += from * in_x_ * static_cast<std::int64_t>(sizeof(In));
                pixels.dim(1, border_x.inside - from, in_x_);
                copy_padded(*plan_.padded, pixels, shifted ? lanes : channels, {0, border_x.inside - from}, {0, border_y.inside}, inside);
            };
            const std::int64_t dense = packed_.blocks.narrow && in_x_ == plan_.channels
                                           ? std::clamp<std::int64_t>(plan_.x.input - ceil_div(lanes, channels) + 1 -
                                                                          (plan_.x.position(0, tile.x + x0) + border_x.before),
                                                                      0, border_x.inside)
                                           : 0;
            if (block != blocks.first) {
                rest(0);
            } else if (dense > 0) {
                copy_padded(*plan_.padded_dense, pixels, channels, {border_x.before, dense}, border_y, padded);
                if (dense < border_x.inside) rest(dense);
            } else {
                copy_padded(*plan_.padded, pixels, shifted ? lanes : channels, border_x, border_y, padded);
            }
            call_depthwise(x1 - x0 >= plan_.depthwise_strip->params.together ? *plan_.depthwise_strip : *plan_.depthwise_single, tile,
                           padded, block, count, x0, x1, y0, y1, scratch);
        }
    }

    static void copy_padded(const Row &function, halide_buffer_t *pixels, std::int64_t channels, const Border &x, const Border &y,
                            halide_buffer_t *padded) {
        function.padded(pixels, static_cast<int>(channels), static_cast<int>(x.before), static_cast<int>(x.inside),
                        static_cast<int>(y.before), static_cast<int>(y.inside), padded);
    }

    void call_depthwise(const Row &row, const Tile &tile, halide_buffer_t *padded, std::int64_t block, std::int64_t count, std::int64_t x0,
                        std::int64_t x1, std::int64_t y0, std::int64_t y1, Value *scratch) const {
        const std::int64_t lanes = packed_.blocks.lanes, window = plan_.x.kernel * plan_.y.kernel, multiplier = plan_.multiplier;
        const std::int64_t pixel = row.params.pixel_stride, pixels = tile.width * tile.height;
        Buffer<5> taps(packed_.taps.template as<Value>() +
                       (block * multiplier * window + plan_.y.first_tap * plan_.x.kernel + plan_.x.first_tap) * lanes);
        taps.dim(0, lanes, 1).dim(1, plan_.x.taps, lanes).dim(2, plan_.y.taps, lanes * plan_.x.kernel);
        taps.dim(3, multiplier, lanes * window).dim(4, count, lanes * window * multiplier);
        // Two blocks of half a vector stand in one of the scratch, where the second may write some channels once more.
        const bool halves = lanes < pixel;
        const std::int64_t next = halves ? packed_.blocks.first_of(1, plan_.channels) : pixel * pixels * multiplier;
        Buffer<5> out(scratch + block * next + (y0 * tile.width + x0) * pixel);
        out.dim(0, lanes, 1).dim(1, x1 - x0, pixel).dim(2, y1 - y0, pixel * tile.width);
        out.dim(3, multiplier, pixel * pixels).dim(4, count, next);
        call(row, padded, taps, out);
    }

    // ---- channels_first by way of channels_last

    void depthwise_transposed(const Tile &tile, const Share &blocks, Value *scratch, Value *strip) const {
        const auto [width, height, border_x, border_y, image] = reach_of(tile, 0, tile.width, 0, tile.height);
        const std::int64_t lanes = packed_.blocks.lanes;
        const Row &function = tile.width >= plan_.depthwise_strip->params.together ? *plan_.depthwise_strip : *plan_.depthwise_single;
        // The border stays zero from one block of channels to the next.
        std::fill_n(strip, lanes * width * height, Value());
        for (std::int64_t block = blocks.first; block < blocks.first + blocks.count; block++) {
            const std::int64_t first = packed_.blocks.first_of(block, plan_.channels);
            if (border_x.inside > 0 && border_y.inside > 0) {
                turn<In>({image + first * in_c_, in_c_, 1, in_y_ * plan_.y.step},
                         {strip + (border_y.before * width + border_x.before) * lanes, 1, lanes, lanes * width},
                         std::min(lanes, plan_.channels), border_x.inside, border_y.inside, *plan_.turned, *plan_.turned_single);
            }
            Buffer<4> padded(strip);
            padded.dim(0, lanes, 1).dim(1, width, lanes).dim(2, height, lanes * width).dim(3, 1, lanes * width * height);
            call_depthwise(function, tile, padded, block, 1, 0, tile.width, 0, tile.height, scratch);
        }
    }

    void pointwise_transposed(const Tile &tile, int part, int parts, const Value *scratch, Value *product, const Target &out) const {
        const std::int64_t tile_pixels = tile.width * tile.height;
        const std::int64_t pixels = plan_.flat ? tile_pixels : tile.width;
        const int size = plan_.size_of(tile);
        const bool dense = out.y == tile.width * out.x;
        for (std::size_t i = 0; i < packed_.runs.size(); i++) {
            const PanelRun &run = packed_.runs[i];
            const PackedWeights::Panels panels = packed_.panels_of(run, part, parts);
            for (std::int64_t panel = panels.first; panel < panels.first + panels.count; panel++) {
                const std::int64_t first = run.first + panel * run.width,
                                   filters = std::min<std::int64_t>(run.width, run.first + run.filters - first);
                for (std::int64_t pixel = 0; pixel < tile_pixels; pixel += pixels) {
                    for (const PixelPiece &piece : plan_.covers[i][size]) {
                        if (piece.row == nullptr) continue;
                        const std::int64_t at = pixel + piece.first;
                        product_channels_last(run, {panel, 1}, piece, scratch, tile_pixels, at, product + at * run.width - first,
                                              {product, run.width, 0, 1});
                    }
                }
                turn<Value>({product, run.width, 1, run.width * tile.width}, {out.data + first * out.f, 1, out.f, out.y},
                            dense ? tile_pixels : tile.width, filters, dense ? 1 : tile.height, *plan_.turned_back,
                            *plan_.turned_back_single);
            }
        }
    }

    // Copies values (i, j, k) from one order to the other: j is innermost where they come from, i where they go.
    template <typename T>
    struct Turned {
        T *data;
        std::int64_t i, j, k;  // strides
    };
    template <typename T>
    void turn(const Turned<const T> &from, const Turned<Value> &to, std::int64_t i, std::int64_t j, std::int64_t k, const Row &blocks,
              const Row &single) const {
        // A pipeline counts elements in 32 bits; what lies further apart goes in several calls.
        constexpr std::int64_t far = std::int64_t(1) << 30;
        auto part = [&](const Turned<const T> &from, const Turned<Value> &to, std::int64_t i, std::int64_t j, std::int64_t k) {
            turn<T>(from, to, i, j, k, blocks, single);
        };
        if (i > 1 && from.i * i > far) {
            for (std::int64_t n = 0; n < i; n++) part({from.data + n * from.i, 0, 1, from.k}, {to.data + n, 1, to.j, to.k}, 1, j, k);
            return;
        }
        if (j > 1 && to.j * j > far) {
            for (std::int64_t n = 0; n < j; n++) part({from.data + n, from.i, 1, from.k}, {to.data + n * to.j, 1, 0, to.k}, i, 1, k);
            return;
        }
        if (k > 1 && std::max(from.k, to.k) * k > far) {
            for (std::int64_t n = 0; n < k; n++) part({from.data + n * from.k, from.i, 1, 0}, {to.data + n * to.k, 1, to.j, 0}, i, j, 1);
            return;
        }
        const Row &row = std::min(i, j) >= blocks.params.lanes ? blocks : single;
        Buffer<3> in(from.data), out(to.data);
        in.dim(0, j, 1).dim(1, k, from.k).dim(2, i, from.i);
        out.dim(0, i, 1).dim(1, j, to.j).dim(2, k, to.k);
        row.moved(in, out);
    }

    // ---- depthwise, channels_first: scratch (pixel, depthwise channel)

    void depthwise_channels_first(const Tile &tile, Value *scratch, Value *strip) const {
        const std::int64_t lanes = plan_.depthwise->params.lanes, stride = plan_.x.stride, step = plan_.y.step;
        const std::int64_t columns = std::max(tile.width, lanes), height = plan_.y.span(tile.height);
        const std::int64_t column = plan_.x.position(0, tile.x), row = plan_.y.position(tile.phase, tile.y);
        const In *image = input_.data + tile.image * input_.strides[0];
        const Row &function = tile.height >= plan_.depthwise->params.together ? *plan_.depthwise : *plan_.depthwise_single;
        const std::int64_t window = plan_.x.kernel * plan_.y.kernel, multiplier = plan_.multiplier;
        auto depthwise = [&](halide_buffer_t *padded, std::int64_t c, std::int64_t count) {
            Buffer<5> taps(packed_.plane_taps.template as<Value>() + c * multiplier * window + plan_.y.first_tap * plan_.x.kernel +
                           plan_.x.first_tap);
            taps.dim(0, plan_.x.taps, 1)
                .dim(1, plan_.y.taps, plan_.x.kernel)
                .dim(2, multiplier, window)
                .dim(3, count, window * multiplier)
                .dim(4, 1, 0);
            // The product's order: within a block of channels first by multiplier.
            const std::int64_t block = c - c % packed_.order.lanes,
                               in_block = std::min<std::int64_t>(packed_.order.lanes, plan_.channels - block);
            Buffer<5> out(scratch + (block * multiplier + c - block) * plan_.pixel_pitch);
            // A row shorter than a vector is computed a vector wide; the next row, which is written later, puts its beginning right.
            out.dim(0, columns, 1).dim(1, tile.height, tile.width).dim(2, multiplier, plan_.pixel_pitch * in_block);
            out.dim(3, count, plan_.pixel_pitch).dim(4, 1, 0);
            call(function, padded, taps, out);
        };
        if (plan_.direct) {
            for (std::int64_t c = 0; c < plan_.channels; c++) {
                Buffer<4> padded(image + c * in_c_ + row * in_y_ + column);
                padded.dim(0, plan_.x.span(tile.width), 1).dim(1, 1, 0).dim(2, height, in_y_ * step).dim(3, 1, 0);
                depthwise(padded, c, 1);
            }
            return;
        }
        const std::int64_t pitch = stride == 1 ? plan_.x.span(columns) : columns + (plan_.x.taps - 1) / stride, width = pitch * stride;
        const Border border_x(column, width, 1, plan_.x.input), border_y(row, height, step, plan_.y.input);
        // The border stays zero from one channel to the next.
        std::fill_n(strip, plan_.strip_blocks * width * height, Value());
        std::int64_t count = 0;
        for (std::int64_t c = 0; c < plan_.channels; c += count) {
            const std::int64_t in_block = multiplier == 1 ? plan_.channels : packed_.order.lanes - c % packed_.order.lanes;
            count = std::min({plan_.strip_blocks, plan_.channels - c, in_block});
            const In *in = image + c * in_c_ + (row + border_y.before * step) * in_y_ + column + border_x.before;
            copy_planes(in, strip + border_y.before * width, border_x, border_y.inside, count, pitch, height);
            Buffer<4> padded(strip);
            padded.dim(0, pitch, 1).dim(1, stride, pitch).dim(2, height, width).dim(3, count, width * height);
            depthwise(padded, c, count);
        }
    }

    // Copies the inside of `count` planes into their border; with a stride, the columns of each phase together: column stride·x + phase is
    // at (x, phase).
    void copy_planes(const In *in, Value *strip, const Border &border, std::int64_t rows, std::int64_t count, std::int64_t pitch,
                     std::int64_t height) const {
        const std::int64_t stride = plan_.x.stride, width = pitch * stride, in_row = in_y_ * plan_.y.step;
        // A pipeline counts elements in 32 bits.
        const bool near = std::max(in_c_ * count, in_row * rows) < std::int64_t(1) << 30;
        for (std::int64_t phase = 0; phase < std::min(stride, border.inside) && rows > 0; phase++) {
            const std::int64_t at = border.before + phase, columns = ceil_div(border.inside - phase, stride);
            const In *from = in + phase;
            Value *to = strip + at % stride * pitch + at / stride;
            const Row *row = nullptr;
            for (const Row *wide : {plan_.copied_narrow, plan_.copied}) {
                if (near && wide != nullptr && columns >= wide->params.lanes) row = wide;
            }
            if (row != nullptr) {
                Buffer<3> image(from), copy(to);
                image.dim(0, (columns - 1) * stride + 1, 1).dim(1, rows, in_row).dim(2, count, in_c_);
                copy.dim(0, columns, 1).dim(1, rows, width).dim(2, count, width * height);
                row->moved(image, copy);
                continue;
            }
            for (std::int64_t c = 0; c < count; c++) {
                for (std::int64_t y = 0; y < rows; y++) {
                    const In *in_values = from + c * in_c_ + y * in_row;
                    Value *out_values = to + (c * height + y) * width;
                    for (std::int64_t x = 0; x < columns; x++) out_values[x] = static_cast<Value>(in_values[x * stride]);
                }
            }
        }
    }

    void call(const Row &row, halide_buffer_t *padded, halide_buffer_t *taps, halide_buffer_t *out) const {
        row.depthwise(padded, taps, static_cast<int>(plan_.x.stride_in_phase()), static_cast<int>(plan_.y.stride_in_phase()),
                      static_cast<int>(plan_.x.dilation_in_phase()), static_cast<int>(plan_.y.dilation_in_phase()),
                      static_cast<int>(plan_.x.taps), static_cast<int>(plan_.y.taps), out);
    }

    // ---- the product

    void pointwise(const Tile &tile, int part, int parts, const Value *scratch, Value *strip, const Target &out) const {
        if (plan_.transposed) return pointwise_transposed(tile, part, parts, scratch, strip, out);
        const std::int64_t tile_pixels = tile.width * tile.height;
        const std::int64_t calls = plan_.flat ? 1 : tile.height;
        const int size = plan_.size_of(tile);
        if (plan_.planes()) {
            for (std::int64_t y = 0; y < calls; y++) pointwise_planes(scratch + y * tile.width, {out.data + y * out.y, 1, 0, out.f}, size);
            return;
        }
        for (std::size_t i = 0; i < packed_.runs.size(); i++) {
            const PanelRun &run = packed_.runs[i];
            const PackedWeights::Panels panels = packed_.panels_of(run, part, parts);
            // The function takes all panels of a call for a few pixels before the next pixels, so that the output is written in its order.
            // Panels that would not stay in cache meanwhile come one after the other, each for all pixels.
            constexpr std::int64_t panel_bytes = 64 << 10;
            const std::int64_t steps = plan_.channels * plan_.multiplier, end = panels.first + panels.count;
            const std::int64_t at_once =
                std::clamp<std::int64_t>(panel_bytes / static_cast<std::int64_t>(run.width * steps * sizeof(Value)), 1, run.panels);
            for (std::int64_t done = panels.first; done < end; done += at_once) {
                for (std::int64_t y = 0; y < calls; y++) {
                    for (const PixelPiece &piece : plan_.covers[i][size]) {
                        if (piece.row == nullptr) continue;
                        product_channels_last(run, {done, std::min(at_once, end - done)}, piece, scratch, tile_pixels,
                                              y * tile.width + piece.first, out.data + y * out.y + piece.first * out.x, out);
                    }
                }
            }
        }
    }

    void product_channels_last(const PanelRun &run, const PackedWeights::Panels &panels, const PixelPiece &piece, const Value *scratch,
                               std::int64_t tile_pixels, std::int64_t pixel, Value *to, const Target &out) const {
        const std::int64_t lanes = piece.row->params.pixel_stride, steps = plan_.channels * plan_.multiplier;
        const std::int64_t first = run.first + panels.first * run.width, filters = panels.count * run.width;
        const ReductionOrder &order = packed_.order;
        Buffer<3> depthwise(scratch + pixel * lanes);
        depthwise.dim(0, lanes, 1).dim(1, piece.count, lanes).dim(2, order.full + order.tails, lanes * tile_pixels);
        Buffer<3> panel(packed_.panels.template as<Value>() + run.offset + panels.first * run.width * steps);
        panel.dim(0, run.width, 1).dim(1, steps, run.width).dim(2, panels.count, run.width * steps);
        Buffer<1> bias(packed_.bias.template as<Value>() + first);
        bias.dim(0, filters, 1);
        Buffer<3> output(to + first);
        output.dim(0, std::min(filters, run.first + run.filters - first), 1)
            .dim(1, piece.row->params.rows, out.x)
            .dim(2, piece.count, out.x);
        piece.row->pointwise(depthwise, panel, bias, order.full, order.tails, order.tail_first, order.tail_lanes, plan_.epilogue.low,
                             plan_.epilogue.high, output);
    }

    // The product over planes: of each panel groups of filters, with vectors of pixels.
    void pointwise_planes(const Value *scratch, const Target &out, int size) const {
        const std::int64_t steps = plan_.channels * plan_.multiplier;
        for (const PanelRun &run : packed_.runs) {
            for (std::int64_t panel = 0; panel < run.panels; panel++) {
                const PanelRun one = run.panel(panel, steps);
                std::int64_t done = 0;
                for (int i = 0; done < one.filters; i++) {
                    const std::int64_t groups = (one.filters - done) / plan_.groups[i];
                    if (groups == 0) continue;
                    for (const PixelPiece &piece : plan_.covers[i][size]) {
                        if (piece.row != nullptr) product_channels_first(one, done, groups, piece, scratch, out);
                    }
                    done += groups * plan_.groups[i];
                }
            }
        }
    }

    void product_channels_first(const PanelRun &run, std::int64_t done, std::int64_t groups, const PixelPiece &piece, const Value *scratch,
                                const Target &out) const {
        const std::int64_t steps = plan_.channels * plan_.multiplier, filters = piece.row->params.rows;
        Buffer<3> depthwise(scratch + piece.first);
        depthwise.dim(0, piece.count, 1).dim(1, steps, plan_.pixel_pitch).dim(2, 1, 0);
        // A pipeline counts elements in 32 bits; far apart filters go in several calls.
        const std::int64_t at_once = out.f * filters * groups < std::int64_t(1) << 30 ? groups : 1;
        for (std::int64_t group = 0; group < groups; group += at_once) {
            const std::int64_t first = done + group * filters;
            Buffer<3> panel(packed_.panels.template as<Value>() + run.offset + first);
            panel.dim(0, filters, 1).dim(1, steps, run.width).dim(2, at_once, filters);
            Buffer<1> bias(packed_.bias.template as<Value>() + run.first + first);
            bias.dim(0, at_once * filters, 1);
            Buffer<3> output(out.data + (run.first + first) * out.f + piece.first);
            output.dim(0, piece.count, 1).dim(1, at_once * filters, out.f).dim(2, 1, 0);
            piece.row->pointwise(depthwise, panel, bias, static_cast<int>(steps), 0, 0, 0, plan_.epilogue.low, plan_.epilogue.high, output);
        }
    }

    // ---- the activation and the output, while the tile is in cache

    // What is left to do with one part of a tile's rows when the product is there.
    void finish(const Tile &tile, int part, int parts, Value *temporary) const {
        const Share rows(tile.height, part, parts);
        if (rows.count == 0) return;
        Place<Out> out = output_of(tile);
        Target from = target_of(tile, temporary);
        out.data += rows.first * out.y, from.data += rows.first * from.y;
        if constexpr (std::is_same_v<Value, Out>) {
            activate(rows.count, tile.width, from, out);
        } else if (activation_.kind == ActivationKind::glu && plan_.epilogue.kind == EpilogueKind::rows) {
            const bool first = plan_.format == DataFormat::channels_first;
            const std::int64_t width = first ? tile.width / 2 : tile.width, filters = first ? plan_.filters : plan_.filters / 2;
            const Target half = dense(temporary + tile.height * tile.width * plan_.filters, rows.count, width, filters);
            activate(rows.count, tile.width, from, half);
            store(rows.count, width, filters, half, out);
        } else {
            activate(rows.count, tile.width, from, from);
            store(rows.count, tile.width, plan_.filters, from, out);
        }
    }

    void activate(std::int64_t height, std::int64_t width, const Target &from, const Target &to) const {
        const Epilogue &epilogue = plan_.epilogue;
        if (epilogue.kind == EpilogueKind::clamp || epilogue.kind == EpilogueKind::image) return;
        const bool first = plan_.format == DataFormat::channels_first, rows = epilogue.kind == EpilogueKind::rows;
        const bool contiguous = height == 1 || from.y == width * from.x;
        if (!rows && !first && from.x == plan_.filters && contiguous) {  // one dense run
            return activate_rows(from.data, 1, height * width * plan_.filters, 0, from.data, 0);
        }
        if (!rows && first && contiguous) return activate_rows(from.data, plan_.filters, height * width, from.f, from.data, from.f);
        for (std::int64_t y = 0; y < height; y++) {
            Value *row = from.data + y * from.y, *done = to.data + y * to.y;
            if (first) {
                activate_rows(row, plan_.filters, width, from.f, done, to.f);
            } else {
                activate_rows(row, width, plan_.filters, from.x, done, to.x);
            }
        }
    }

    // `rows` rows of `length` values, `from_stride` and `to_stride` apart.
    void activate_rows(Value *from, std::int64_t rows, std::int64_t length, std::int64_t from_stride, Value *to,
                       std::int64_t to_stride) const {
        if (rows > 1 && std::max(from_stride, to_stride) * rows >= std::numeric_limits<std::int32_t>::max()) {
            for (std::int64_t i = 0; i < rows; i++) activate_rows(from + i * from_stride, 1, length, 0, to + i * to_stride, 0);
            return;
        }
        run_activation(plan_.epilogue.activated, activation_, from, rows, length, from_stride, to, to_stride);
    }

    // Converts rows of a tile of its own to the output's type.
    void store(std::int64_t height, std::int64_t width, std::int64_t filters, const Target &from, const Place<Out> &to) const {
        const bool first = plan_.format == DataFormat::channels_first;
        // The innermost dimension in memory, the one around it, and the outermost; neighbours that are dense in both places are one.
        struct Dimension {
            std::int64_t extent, from, to;
        };
        Dimension inner = first ? Dimension{width, 1, 1} : Dimension{filters, 1, 1};
        Dimension outer[2] = {first ? Dimension{height, from.y, to.y} : Dimension{width, from.x, to.x},
                              first ? Dimension{filters, from.f, to.f} : Dimension{height, from.y, to.y}};
        for (Dimension &next : outer) {
            if (next.extent > 1 && (next.from != inner.extent || next.to != inner.extent)) break;
            inner.extent *= next.extent;
            next.extent = 1;
        }
        const Row &row = inner.extent >= plan_.stored->params.lanes ? *plan_.stored : *plan_.stored_single;
        // A pipeline counts elements in 32 bits; what lies further apart goes in several calls.
        const std::int64_t calls = outer[1].to * outer[1].extent < std::int64_t(1) << 30 ? 1 : outer[1].extent;
        for (std::int64_t i = 0; i < calls; i++) {
            Buffer<3> tile(from.data + i * outer[1].from), out(to.data + i * outer[1].to);
            tile.dim(0, inner.extent, 1).dim(1, outer[0].extent, outer[0].from).dim(2, outer[1].extent / calls, outer[1].from);
            out.dim(0, inner.extent, 1).dim(1, outer[0].extent, outer[0].to).dim(2, outer[1].extent / calls, outer[1].to);
            row.moved(tile, out);
        }
    }

    const Plan &plan_;
    const PackedWeights &packed_;
    const Activation &activation_;
    const TensorView<const In> &input_;
    const TensorView<Out> &output_;
    std::int64_t in_x_, in_y_, in_c_, out_x_, out_y_, out_f_;
};

// Memory of the calling thread for all tasks of a run. Grows to the largest that was needed and stays. An executor may start a run on
// a thread where another waits for its tasks, so the runs that are under way on a thread take turns from the first memory on.
class RunMemory {
public:
    RunMemory() : memory_(all().take()) {}
    ~RunMemory() { all().taken--; }
    RunMemory(const RunMemory &) = delete;
    RunMemory &operator=(const RunMemory &) = delete;

    // At once as much as the tasks of most layers need: a page costs nothing before it is touched, and more than a microsecond then, so
    // that growing with each layer would cost its first run many pages that the one before has touched already.
    template <typename T>
    T *scratch(std::size_t values) {
        return grown(memory_.scratch, std::max<std::size_t>(values * sizeof(T), 1 << 20)).template as<T>();
    }

    // Where a product stands until all of it is there; for glu its axis is twice as long as the output's.
    template <typename T>
    TensorView<T> product(const Activation &activation, Shape shape) {
        if (activation.kind == ActivationKind::glu) shape[activation.axes[0] < 0 ? activation.axes[0] + 4 : activation.axes[0]] *= 2;
        return image<T>(memory_.product, shape);
    }

    // Where an image stands before it is converted.
    TensorView<float> result(const Shape &shape) { return image<float>(memory_.result, shape); }

private:
    struct Memory {
        AlignedBytes scratch, product, result;
    };
    struct OfThread {
        std::deque<Memory> memories;  // whose elements stay where they are
        std::size_t taken = 0;
        Memory &take() {
            if (taken == memories.size()) memories.emplace_back();
            return memories[taken++];
        }
    };
    static OfThread &all() {
        thread_local OfThread memories;
        return memories;
    }
    static AlignedBytes &grown(AlignedBytes &memory, std::size_t bytes) {
        if (memory.size() < bytes) {
            memory = AlignedBytes();
            memory = AlignedBytes(bytes);
        }
        return memory;
    }
    template <typename T>
    static TensorView<T> image(AlignedBytes &memory, const Shape &shape) {
        const auto values = static_cast<std::size_t>(shape[0] * shape[1] * shape[2] * shape[3]);
        return {grown(memory, values * sizeof(T)).template as<T>(), shape};
    }

    Memory &memory_;
};

// All tiles, up to an activation that needs the whole image.
template <typename Value, typename In, typename Out>
void run_tiles(const Plan &plan, const PackedWeights &packed, const Activation &activation, const TensorView<const In> &input,
               const TensorView<Out> &output, const Execution &how, int threads, RunMemory &memory) {
    using Loop = TileLoop<In, Value, Out>;
    const Loop loop(plan, packed, activation, input, output);
    auto parallel = [&](void (*task)(void *, int), void *context) {
        if (plan.tasks == 1) {
            task(context, 0);
        } else if (how.executor != nullptr) {
            how.executor->parallel_for(plan.tasks, task, context);
        } else {
            pool_parallel_for(threads, plan.tasks, task, context);
        }
    };
    if (plan.shared) {
        struct Run {
            const Loop &loop;
            Value *scratch;
            Tile tile;
        } run{loop, memory.scratch<Value>(plan.scratch_values + plan.strip_values * plan.tasks + plan.temporary_values), {}};
        const bool finishes =
            plan.stored != nullptr || plan.epilogue.kind == EpilogueKind::elementwise || plan.epilogue.kind == EpilogueKind::rows;
        for (std::int64_t i = 0; i < plan.tiles; i++) {
            run.tile = plan.tile_at(i);
            parallel(
                [](void *context, int part) {
                    auto &run = *static_cast<Run *>(context);
                    run.loop.depthwise_part(run.tile, part, run.scratch);
                },
                &run);
            parallel(
                [](void *context, int part) {
                    auto &run = *static_cast<Run *>(context);
                    run.loop.pointwise_part(run.tile, part, run.scratch);
                },
                &run);
            if (finishes) {
                parallel(
                    [](void *context, int part) {
                        auto &run = *static_cast<Run *>(context);
                        run.loop.finish_part(run.tile, part, run.scratch);
                    },
                    &run);
            }
        }
        return;
    }
    // Whole pages apart, so that no two tasks write to one line. A task's memory ends with a line that says which of its tiles is next;
    // when all of them are taken it goes on with those of the others.
    constexpr std::size_t page = 4096 / sizeof(Value), line = 64 / sizeof(Value);
    const std::size_t task_values = (plan.task_values() + line + page - 1) / page * page;
    struct Run {
        const Loop &loop;
        const Plan &plan;
        Value *scratch;
        std::size_t task_values;
        std::atomic<std::int64_t> &next(int task) const {
            return *reinterpret_cast<std::atomic<std::int64_t> *>(scratch + task_values * (task + 1) - line);
        }
    } run{loop, plan, memory.scratch<Value>(task_values * plan.tasks), task_values};
    for (int task = 0; task < plan.tasks; task++) new (&run.next(task)) std::atomic<std::int64_t>(plan.first_tile(task));
    parallel(
        [](void *context, int index) {
            const Run &run = *static_cast<Run *>(context);
            const Plan &plan = run.plan;
            Value *scratch = run.scratch + run.task_values * index;
            for (int i = 0; i < plan.tasks; i++) {
                const int task = (index + i) % plan.tasks;
                const std::int64_t end = plan.first_tile(task + 1), over = plan.rows_over > 0 ? 1 : 0;
                for (std::int64_t tile = run.next(task)++; tile < end + over; tile = run.next(task)++) {
                    run.loop.run_tile(plan.tile_at(tile < end ? tile : plan.tiles + task), scratch);
                }
            }
        },
        &run);
}

// A layer whose tensors are of the type that it computes in.
template <typename T>
void run_alike(const Plan &plan, const PackedWeights &packed, const Activation &activation, const TensorView<const T> &input,
               const TensorView<T> &output, const Execution &how, int threads) {
    const bool image = plan.epilogue.kind == EpilogueKind::image;
    RunMemory memory;
    const TensorView<T> product = image && activation.kind == ActivationKind::glu ? memory.product<T>(activation, output.shape) : output;
    run_tiles<T>(plan, packed, activation, input, product, how, threads, memory);
    if (image) activate_image(plan.epilogue.activated, activation, product, output);
}

}  // namespace

void run_plan(const Plan &plan, const PackedWeights &packed, const Activation &activation, const TensorView<const float> &input,
              const TensorView<float> &output, const Execution &how, int threads) {
    run_alike(plan, packed, activation, input, output, how, threads);
}

void run_plan(const Plan &plan, const PackedWeights &packed, const Activation &activation, const TensorView<const float16> &input,
              const TensorView<float16> &output, const Execution &how, int threads) {
    if (plan.type == Dtype::float16) return run_alike(plan, packed, activation, input, output, how, threads);
    RunMemory memory;
    if (plan.epilogue.kind != EpilogueKind::image) {
        return run_tiles<float>(plan, packed, activation, input, output, how, threads, memory);
    }
    // An activation across tiles works on float32, and its results are rounded once.
    const TensorView<float> product = memory.product<float>(activation, output.shape);
    const TensorView<float> result = activation.kind == ActivationKind::glu ? memory.result(output.shape) : product;
    run_tiles<float>(plan, packed, activation, input, product, how, threads, memory);
    activate_image(plan.epilogue.activated, activation, product, result);
    const float *from = result.data;
    for (std::int64_t n = 0; n < output.shape[0]; n++) {
        for (std::int64_t i = 0; i < output.shape[1]; i++) {
            for (std::int64_t j = 0; j < output.shape[2]; j++) {
                float16 *to = output.data + n * output.strides[0] + i * output.strides[1] + j * output.strides[2];
                for (std::int64_t k = 0; k < output.shape[3]; k++) to[k] = float16(*from++);
            }
        }
    }
}

}  // namespace sepconv
