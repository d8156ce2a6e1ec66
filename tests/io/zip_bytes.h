// Writes zip archives with libzip.
#pragma once

#include <gtest/gtest.h>
#include <zip.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace sepconv {

using Members = std::vector<std::pair<std::string, std::string>>;

inline std::filesystem::path write_zip(const std::filesystem::path &file, const Members &members, int method = ZIP_CM_STORE) {
    int error = 0;
    zip_t *archive = zip_open(file.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &error);
    EXPECT_NE(archive, nullptr);
    for (const auto &[name, bytes] : members) {
        zip_source_t *source = zip_source_buffer(archive, bytes.data(), bytes.size(), 0);
        const zip_int64_t index = zip_file_add(archive, name.c_str(), source, 0);
        EXPECT_GE(index, 0);
        zip_set_file_compression(archive, static_cast<zip_uint64_t>(index), method, 0);
    }
    EXPECT_EQ(zip_close(archive), 0);
    return file;
}

}  // namespace sepconv
