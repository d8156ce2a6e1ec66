// Writes HDF5 files through the C API: legal ones of every kind that the reader takes, and those that it must refuse.
#pragma once

#include <gtest/gtest.h>
#include <hdf5.h>

#include <filesystem>
#include <string>
#include <vector>

namespace sepconv {

class Hdf5Writer {
public:
    /// @param latest  the newest file format rather than the oldest
    explicit Hdf5Writer(const std::filesystem::path &file, bool latest = false) {
        const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
        if (latest) H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
        file_ = H5Fcreate(file.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access);
        H5Pclose(access);
        EXPECT_GE(file_, 0);
        links_ = H5Pcreate(H5P_LINK_CREATE);
        H5Pset_create_intermediate_group(links_, 1);
    }
    ~Hdf5Writer() {
        H5Pclose(links_);
        EXPECT_GE(H5Fclose(file_), 0);
    }
    Hdf5Writer(const Hdf5Writer &) = delete;
    Hdf5Writer &operator=(const Hdf5Writer &) = delete;

    hid_t id() const { return file_; }

    void group(const std::string &path) { EXPECT_GE(H5Gclose(H5Gcreate2(file_, path.c_str(), links_, H5P_DEFAULT, H5P_DEFAULT)), 0); }

    /// @param size  0 for variable-length strings, else each string's fixed length
    void strings(const std::string &path, const std::string &name, const std::vector<std::string> &texts, std::size_t size = 0,
                 H5T_str_t padding = H5T_STR_NULLPAD) {
        const hid_t type = H5Tcopy(H5T_C_S1);
        H5Tset_size(type, size == 0 ? H5T_VARIABLE : size);
        H5Tset_strpad(type, padding);
        const hsize_t count = texts.size();
        const hid_t space = H5Screate_simple(1, &count, nullptr);
        const hid_t attribute = H5Acreate_by_name(file_, path.c_str(), name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        if (size == 0) {
            std::vector<const char *> pointers;
            for (const std::string &text : texts) pointers.push_back(text.c_str());
            EXPECT_GE(H5Awrite(attribute, type, pointers.data()), 0);
        } else {
            std::string bytes;
            for (std::string text : texts) {
                text.resize(size, padding == H5T_STR_SPACEPAD ? ' ' : '\0');
                bytes += text;
            }
            EXPECT_GE(H5Awrite(attribute, type, bytes.data()), 0);
        }
        H5Aclose(attribute);
        H5Sclose(space);
        H5Tclose(type);
    }

    /// An attribute that holds no elements, of float64 as Keras 2 writes it.
    void no_strings(const std::string &path, const std::string &name) {
        const hsize_t none = 0;
        const hid_t space = H5Screate_simple(1, &none, nullptr);
        H5Aclose(H5Acreate_by_name(file_, path.c_str(), name.c_str(), H5T_IEEE_F64LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
        H5Sclose(space);
    }

    void floats(const std::string &path, const std::vector<hsize_t> &shape, const std::vector<float> &values, hid_t type = H5T_IEEE_F32LE,
                hid_t creation = H5P_DEFAULT) {
        const hid_t dataset = this->dataset(path, shape, type, creation);
        EXPECT_GE(H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), 0);
        H5Dclose(dataset);
    }

    /// A dataset into which nothing is written. Belongs to the caller.
    hid_t dataset(const std::string &path, const std::vector<hsize_t> &shape, hid_t type, hid_t creation = H5P_DEFAULT) {
        const hid_t space = H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr);
        const hid_t dataset = H5Dcreate2(file_, path.c_str(), type, space, links_, creation, H5P_DEFAULT);
        EXPECT_GE(dataset, 0);
        H5Sclose(space);
        return dataset;
    }

private:
    hid_t file_ = H5I_INVALID_HID;
    hid_t links_ = H5I_INVALID_HID;
};

}  // namespace sepconv
