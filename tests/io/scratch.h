// A folder for the files that a test makes, and the bytes of files.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>

namespace sepconv {

/// A new, empty folder that goes when the test does.
class Scratch {
public:
    Scratch() : folder_(std::filesystem::temp_directory_path() / ("sepconv_" + std::to_string(std::random_device{}()))) {
        std::filesystem::create_directory(folder_);
    }
    ~Scratch() {
        std::error_code ignored;
        std::filesystem::remove_all(folder_, ignored);
    }
    Scratch(const Scratch &) = delete;
    Scratch &operator=(const Scratch &) = delete;

    const std::filesystem::path &folder() const { return folder_; }
    std::filesystem::path operator/(const std::string &name) const { return folder_ / name; }

private:
    std::filesystem::path folder_;
};

inline std::string bytes_of(const std::filesystem::path &file) {
    std::ifstream stream(file, std::ios::binary);
    EXPECT_TRUE(stream) << file;
    return {std::istreambuf_iterator<char>(stream), {}};
}

inline std::filesystem::path write_bytes(const std::filesystem::path &file, const std::string &bytes) {
    std::ofstream stream(file, std::ios::binary);
    stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    EXPECT_TRUE(stream.flush()) << file;
    return file;
}

/// What the function throws, as text; an empty text where it throws nothing or something that is no `Exception`.
template <typename Exception, typename Function>
std::string message_of(const Function &function) {
    try {
        function();
    } catch (const Exception &error) {
        return error.what();
    } catch (const std::exception &error) {
        ADD_FAILURE() << "expected another type of exception, found: " << error.what();
        return "";
    }
    ADD_FAILURE() << "expected an exception, found none";
    return "";
}

}  // namespace sepconv
