// The picture of blur.c as a part of a larger one, in C++, through a function for pictures of any size:
//     sepconv compile --config blur.json --weights blur.npz --input-shape 1,?,?,3 --name blur_any -o out
//     c++ -std=c++17 blur.cpp out/blur_any.a -Iout -lm -lpthread -o blur_any
#include <array>
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <vector>

#include "blur_any.h"

namespace {

struct Image {
    std::int64_t height, width, channels;
    std::vector<float> values = std::vector<float>(height * width * channels);

    float &at(std::int64_t y, std::int64_t x, std::int64_t c = 0) { return values[(y * width + x) * channels + c]; }
    // The distances from one element to the next, along the batch, the rows, the columns and the channels.
    std::array<std::int64_t, 4> strides() const { return {height * width * channels, width * channels, channels, 1}; }
};

// The part of `from` that begins at (y, x), as large as `to`; nothing is copied. What lies beside it counts as black.
void blur(Image &from, std::int64_t y, std::int64_t x, Image &to) {
    const int code =
        blur_any_strided(&from.at(y, x), from.strides().data(), to.values.data(), to.strides().data(), to.height, to.width, nullptr);
    if (code != 0) throw std::runtime_error(blur_any_error(code));
}

}  // namespace

int main() try {
    Image picture{60, 80, BLUR_ANY_INPUT_CHANNELS}, grey{6, 8, BLUR_ANY_OUTPUT_CHANNELS};
    picture.at(33, 44) = 9;  // red

    blur(picture, 30, 40, grey);
    for (std::int64_t row = 0; row < grey.height; row++) {
        for (std::int64_t column = 0; column < grey.width; column++) std::printf("%6.3f", static_cast<double>(grey.at(row, column)));
        std::printf("\n");
    }
} catch (const std::exception &error) {
    std::fprintf(stderr, "blur: %s\n", error.what());
    return 1;
}
