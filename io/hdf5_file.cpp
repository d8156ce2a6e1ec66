// libhdf5 behind an interface of strings and arrays: handles are closed on every path, sizes are checked before memory is asked for.
#include "hdf5_file.h"

#include <fmt/format.h>
#include <hdf5.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <mutex>
#include <utility>

#include "hdf5_structure.h"
#include "message.h"
#include "sepconv/error.h"
#include "sepconv/float16.h"

namespace sepconv::io {

namespace {

// The bytes that begin an HDF5 file.
constexpr std::string_view signature = "\x89HDF\r\n\x1a\n";
// Keras' largest attribute, model_config, is some megabytes for the largest models; weight_names stay below 64 KiB.
constexpr std::uint64_t most_attribute_bytes = std::uint64_t(1) << 25;
// Members of one group. Keras models have hundreds of layers.
constexpr hsize_t most_members = 1 << 16;
// Chunks of one dataset. libhdf5 looks for each among all, so their number counts squared.
constexpr std::uint64_t most_chunks = 1 << 14;
// Deflate makes at most 1032 bytes out of one.
constexpr std::uint64_t most_inflation = 1032;

// One per process: libhdf5 keeps its state in globals, and distributions build it without its own lock.
std::mutex &library_mutex() {
    static std::mutex mutex;
    return mutex;
}

// Stands for the time in which this thread may call libhdf5. Holds the lock above, and keeps the library from printing its errors;
// what the program had set for that is set again afterwards. A program that calls libhdf5 itself from another thread meanwhile needs a
// libhdf5 built thread-safe, as it would without this library.
class LibraryCalls {
public:
    LibraryCalls() : lock_(library_mutex()) {
#ifndef H5_NO_DEPRECATED_SYMBOLS
        unsigned second = 1;
        H5Eauto_is_v2(H5E_DEFAULT, &second);
        if (second == 0) {
            first_version_ = true;
            H5Eget_auto1(&function1_, &argument_);
            H5Eset_auto1(nullptr, nullptr);
            return;
        }
#endif
        H5Eget_auto2(H5E_DEFAULT, &function2_, &argument_);
        H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    }
    ~LibraryCalls() {
#ifndef H5_NO_DEPRECATED_SYMBOLS
        if (first_version_) {
            H5Eset_auto1(function1_, argument_);
            return;
        }
#endif
        H5Eset_auto2(H5E_DEFAULT, function2_, argument_);
    }
    LibraryCalls(const LibraryCalls &) = delete;
    LibraryCalls &operator=(const LibraryCalls &) = delete;

private:
    std::lock_guard<std::mutex> lock_;
#ifndef H5_NO_DEPRECATED_SYMBOLS
    bool first_version_ = false;
    H5E_auto1_t function1_ = nullptr;
#endif
    H5E_auto2_t function2_ = nullptr;
    void *argument_ = nullptr;
};

// An HDF5 identifier with the function that closes it.
class Handle {
public:
    Handle() = default;
    Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
    ~Handle() { reset(); }
    Handle(Handle &&other) noexcept : id_(std::exchange(other.id_, H5I_INVALID_HID)), close_(other.close_) {}
    Handle &operator=(Handle &&other) noexcept {
        std::swap(id_, other.id_);
        std::swap(close_, other.close_);
        return *this;
    }

    explicit operator bool() const { return id_ >= 0; }
    hid_t get() const { return id_; }
    void reset() {
        if (id_ >= 0) close_(id_);
        id_ = H5I_INVALID_HID;
    }

private:
    hid_t id_ = H5I_INVALID_HID;
    herr_t (*close_)(hid_t) = nullptr;
};

// What libhdf5 said last, from where the error arose.
std::string library_error() {
    std::string text;
    const auto first = [](unsigned, const H5E_error2_t *error, void *to) -> herr_t {
        if (error->desc != nullptr && static_cast<std::string *>(to)->empty()) *static_cast<std::string *>(to) = error->desc;
        return 0;
    };
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, first, &text);
    return text.empty() ? "libhdf5 gave no reason" : "libhdf5: " + text;
}

// libhdf5 asks these to copy an image around; it is only read, so all get the one there is.
void *image_malloc(std::size_t, H5FD_file_image_op_t, void *image) { return image; }
void *image_memcpy(void *to, const void *, std::size_t, H5FD_file_image_op_t, void *) { return to; }
void *image_realloc(void *, std::size_t, H5FD_file_image_op_t, void *) { return nullptr; }
herr_t image_free(void *, H5FD_file_image_op_t, void *) { return 0; }
void *image_udata_copy(void *image) { return image; }
herr_t image_udata_free(void *) { return 0; }

struct Extents {
    std::vector<std::int64_t> shape;
    std::uint64_t count = 0;
};

Extents extents(hid_t space, const std::string &where) {
    switch (H5Sget_simple_extent_type(space)) {
        case H5S_NULL:
            return {{0}, 0};
        case H5S_SCALAR:
            return {{}, 1};
        case H5S_SIMPLE:
            break;
        default:
            throw FileError(fmt::format("{}: cannot be read: {}", where, library_error()));
    }
    hsize_t sizes[H5S_MAX_RANK] = {};
    const int rank = H5Sget_simple_extent_dims(space, sizes, nullptr);
    if (rank < 0) throw FileError(fmt::format("{}: cannot be read: {}", where, library_error()));
    Extents result;
    for (int d = 0; d < rank; ++d) result.shape.push_back(static_cast<std::int64_t>(sizes[d]));
    result.count = element_count(result.shape, where);
    return result;
}

// The string type in memory that takes `stored` without a conversion other than the copy.
Handle string_type(hid_t stored, bool variable) {
    Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
    H5Tset_size(type.get(), variable ? H5T_VARIABLE : H5Tget_size(stored));
    H5Tset_cset(type.get(), H5Tget_cset(stored));
    H5Tset_strpad(type.get(), H5Tget_strpad(stored));
    return type;
}

std::string without_padding(std::string_view text, H5T_str_t padding) {
    if (padding == H5T_STR_NULLTERM) return std::string(text.substr(0, text.find('\0')));
    const char pad = padding == H5T_STR_SPACEPAD ? ' ' : '\0';
    return std::string(text.substr(0, text.find_last_not_of(pad) + 1));
}

enum class Element { float16, bfloat16, float32, float64 };

bool is_float16(hid_t type) {
    // IEEE binary16, which libhdf5 1.10 has no name for: bit 15 the sign, 10..14 the exponent, 0..9 the fraction.
    std::size_t sign = 0, exponent = 0, exponent_bits = 0, fraction = 0, fraction_bits = 0;
    return H5Tget_size(type) == 2 && H5Tget_fields(type, &sign, &exponent, &exponent_bits, &fraction, &fraction_bits) >= 0 && sign == 15 &&
           exponent == 10 && exponent_bits == 5 && fraction == 0 && fraction_bits == 10 && H5Tget_ebias(type) == 15 &&
           H5Tget_precision(type) == 16 && H5Tget_offset(type) == 0 && H5Tget_norm(type) == H5T_NORM_IMPLIED;
}

bool is_any_of(hid_t type, std::initializer_list<hid_t> known) {
    return std::any_of(known.begin(), known.end(), [type](hid_t each) { return H5Tequal(type, each) > 0; });
}

}  // namespace

struct Hdf5File::Opened {
    std::string name;
    std::string image;
    std::uint64_t size = 0;
    std::ifstream stream;
    // Remembers which objects it has checked.
    std::unique_ptr<Hdf5Structure> structure;
    Handle file;

    ~Opened() {
        const LibraryCalls calls;
        file.reset();
    }

    std::string where(const std::string &path) const { return path.empty() ? name : fmt::format("{}: {}", name, path); }

    [[noreturn]] void fail(const std::string &path) const {
        throw FileError(fmt::format("{}: cannot be read: {}", where(path), library_error()));
    }

    // Opens the object at the end of a path of groups, or gives an empty handle where there is none.
    Handle find(const std::string &path) const {
        Handle object(H5Gopen2(file.get(), "/", H5P_DEFAULT), H5Gclose);
        if (!object) fail(path);
        for (std::size_t start = 0; start < path.size();) {
            const std::size_t end = std::min(path.find('/', start), path.size());
            const std::string member = path.substr(start, end - start);
            start = end + 1;
            if (member.empty()) continue;
            if (H5Iget_type(object.get()) != H5I_GROUP || member == ".") return {};
            check_group(object.get(), path);
            const htri_t exists = H5Lexists(object.get(), member.c_str(), H5P_DEFAULT);
            if (exists < 0) fail(path);
            if (exists == 0) return {};
            H5L_info_t link;
            if (H5Lget_info(object.get(), member.c_str(), &link, H5P_DEFAULT) < 0) fail(path);
            if (link.type != H5L_TYPE_HARD) {
                throw FileError(fmt::format("{}: expected a group or dataset in the file itself, found {}", where(path.substr(0, end)),
                                            link.type == H5L_TYPE_SOFT ? "a soft link" : "a link to another file"));
            }
            structure->check_object(link.u.address);
            object = Handle(H5Oopen(object.get(), member.c_str(), H5P_DEFAULT), H5Oclose);
            if (!object) fail(path);
        }
        return object;
    }

    // A group may keep its links in a heap that goes through filters, which could be anybody's plugin.
    void check_group(hid_t group, const std::string &path) const {
        const Handle creation(H5Gget_create_plist(group), H5Pclose);
        if (!creation) fail(path);
        if (H5Pget_nfilters(creation.get()) != 0) {
            throw FileError(fmt::format("{}: expected groups without filters, found one with filters", where(path)));
        }
    }

    Handle find_dataset(const std::string &path) const {
        Handle object = find(path);
        if (!object) throw FileError(fmt::format("{}: expected a dataset, found nothing", where(path)));
        if (H5Iget_type(object.get()) != H5I_DATASET) {
            throw FileError(fmt::format("{}: expected a dataset, found a group or a type", where(path)));
        }
        // Before anything else is asked of it: even a virtual dataset's extents may open other files.
        const Handle creation(H5Dget_create_plist(object.get()), H5Pclose);
        if (!creation) fail(path);
        const H5D_layout_t layout = H5Pget_layout(creation.get());
        if (layout != H5D_COMPACT && layout != H5D_CONTIGUOUS && layout != H5D_CHUNKED) {
            throw FileError(fmt::format("{}: expected values in the file itself, found a virtual dataset", where(path)));
        }
        if (H5Pget_external_count(creation.get()) != 0) {
            throw FileError(fmt::format("{}: expected values in the file itself, found external storage", where(path)));
        }
        return object;
    }

    Extents dataset_extents(hid_t dataset, const std::string &path) const {
        const Handle space(H5Dget_space(dataset), H5Sclose);
        if (!space) fail(path);
        return extents(space.get(), where(path));
    }

    // Checks that a dataset's values are all in the file, and that its filters are libhdf5's own and cannot make much out of little.
    void check_storage(hid_t dataset, std::uint64_t bytes, const std::string &path) const {
        const Handle creation(H5Dget_create_plist(dataset), H5Pclose);
        if (!creation) fail(path);
        const int filters = H5Pget_nfilters(creation.get());
        if (filters < 0) fail(path);
        for (int i = 0; i < filters; ++i) {
            unsigned flags = 0, configuration = 0;
            std::size_t parameters = 0;
            const H5Z_filter_t filter = H5Pget_filter2(creation.get(), i, &flags, &parameters, nullptr, 0, nullptr, &configuration);
            if (filter != H5Z_FILTER_DEFLATE && filter != H5Z_FILTER_SHUFFLE && filter != H5Z_FILTER_FLETCHER32) {
                throw FileError(fmt::format("{}: expected no filters but deflate, shuffle and fletcher32, found HDF5 filter {}",
                                            where(path), static_cast<int>(filter)));
            }
        }
        if (bytes == 0) return;

        const std::uint64_t stored = H5Dget_storage_size(dataset);
        if (stored > size) throw FileError(fmt::format("{}: claims {} bytes of a file of {}", where(path), stored, size));
        if (stored < bytes && (filters == 0 || stored < bytes / most_inflation)) {
            throw FileError(fmt::format("{}: expected {} bytes of values, found {}", where(path), bytes, stored));
        }
        if (H5Pget_layout(creation.get()) == H5D_CONTIGUOUS) {
            const haddr_t offset = H5Dget_offset(dataset);
            if (offset == HADDR_UNDEF || offset > size || size - offset < bytes) {
                throw FileError(fmt::format("{}: expected {} bytes of values inside the file of {}, found them at byte {}", where(path),
                                            bytes, size, static_cast<std::uint64_t>(offset)));
            }
        }
        if (H5Pget_layout(creation.get()) == H5D_CHUNKED) check_chunks(dataset, creation.get(), bytes, path);
    }

    // Memory for one chunk is asked for by its nominal size; and a filter may inflate it to 1032 times what is stored.
    void check_chunks(hid_t dataset, hid_t creation, std::uint64_t bytes, const std::string &path) const {
        hsize_t sizes[H5S_MAX_RANK] = {};
        const int rank = H5Pget_chunk(creation, H5S_MAX_RANK, sizes);
        if (rank < 0) fail(path);
        const Handle type(H5Dget_type(dataset), H5Tclose);
        std::uint64_t chunk = H5Tget_size(type.get());
        // A chunk that is larger than its dataset is legal, but 16 times as large makes no sense.
        const std::uint64_t limit = std::max<std::uint64_t>(bytes, 1 << 16) * 16;
        for (int d = 0; d < rank; ++d) {
            if (sizes[d] == 0 || chunk > limit / sizes[d]) {
                throw FileError(fmt::format("{}: expected chunks of at most {} bytes, found larger ones", where(path), limit));
            }
            chunk *= sizes[d];
        }
        const std::vector<std::int64_t> shape = dataset_extents(dataset, path).shape;
        if (shape.size() != static_cast<std::size_t>(rank)) {
            throw FileError(fmt::format("{}: expected chunks of {} dimensions, found {}", where(path), shape.size(), rank));
        }
        std::uint64_t count = 1;
        for (int d = 0; d < rank; ++d) {
            const std::uint64_t along = (static_cast<hsize_t>(shape[d]) - 1) / sizes[d] + 1;
            if (count > most_chunks / along) {
                throw FileError(fmt::format("{}: expected at most {} chunks, found more", where(path), most_chunks));
            }
            count *= along;
        }
        std::vector<hsize_t> corner(rank, 0);
        for (std::uint64_t i = 0; i < count; ++i) {
            haddr_t address = HADDR_UNDEF;
            hsize_t stored = 0;
            if (H5Dget_chunk_info_by_coord(dataset, corner.data(), nullptr, &address, &stored) < 0) fail(path);
            if (address == HADDR_UNDEF) {
                throw FileError(fmt::format("{}: expected all values in the file, found a chunk that was never written", where(path)));
            }
            if (stored > chunk + chunk / 64 + 1024) {
                throw FileError(fmt::format("{}: expected chunks of {} bytes, found one of {} in the file", where(path), chunk, stored));
            }
            for (int d = rank; d-- > 0;) {
                corner[d] += sizes[d];
                if (corner[d] < static_cast<hsize_t>(shape[d])) break;
                corner[d] = 0;
            }
        }
    }

    Element element(hid_t dataset, hid_t type, const std::string &path) const {
        switch (H5Tget_class(type)) {
            case H5T_FLOAT:
                if (is_any_of(type, {H5T_IEEE_F32LE, H5T_IEEE_F32BE})) return Element::float32;
                if (is_any_of(type, {H5T_IEEE_F64LE, H5T_IEEE_F64BE})) return Element::float64;
                if (is_float16(type)) return Element::float16;
                break;
            case H5T_OPAQUE: {
                const std::optional<std::vector<std::string>> dtype = strings(dataset, "dtype", where(path));
                if (H5Tget_size(type) == 2 && dtype && dtype->size() == 1 && dtype->front() == "bfloat16") return Element::bfloat16;
                break;
            }
            default:
                break;
        }
        throw FileError(fmt::format("{}: expected float16, bfloat16, float32 or float64, found elements of another type, {} bytes each",
                                    where(path), H5Tget_size(type)));
    }

    std::optional<std::vector<std::string>> strings(hid_t object, const std::string &name, const std::string &where) const {
        const std::string place = fmt::format("{}: attribute {}", where, name);
        const auto fail = [&] { return FileError(fmt::format("{}: cannot be read: {}", place, library_error())); };
        const htri_t exists = H5Aexists(object, name.c_str());
        if (exists < 0) throw fail();
        if (exists == 0) return std::nullopt;
        const Handle attribute(H5Aopen(object, name.c_str(), H5P_DEFAULT), H5Aclose);
        if (!attribute) throw fail();
        const Handle space(H5Aget_space(attribute.get()), H5Sclose);
        const Handle stored(H5Aget_type(attribute.get()), H5Tclose);
        if (!space || !stored) throw fail();
        const std::uint64_t count = extents(space.get(), place).count;
        std::vector<std::string> texts;
        if (count == 0) return texts;

        if (H5Tget_class(stored.get()) != H5T_STRING) throw FileError(fmt::format("{}: expected strings, found another type", place));
        const bool variable = H5Tis_variable_str(stored.get()) > 0;
        const std::uint64_t each = H5Tget_size(stored.get());
        if (each == 0 || each > most_attribute_bytes || count > most_attribute_bytes / each || count * each > size) {
            throw FileError(fmt::format("{}: expected strings of a few megabytes, found {} of {} bytes", place, count, each));
        }
        const Handle type = string_type(stored.get(), variable);
        if (variable) {
            std::vector<char *> pointers(count, nullptr);
            const herr_t status = H5Aread(attribute.get(), type.get(), static_cast<void *>(pointers.data()));
            const std::string reason = status < 0 ? library_error() : std::string();
            if (status >= 0) {
                for (const char *text : pointers) texts.emplace_back(text == nullptr ? "" : text);
            }
            for (char *text : pointers) H5free_memory(text);
            if (status < 0) throw FileError(fmt::format("{}: cannot be read: {}", place, reason));
        } else {
            std::string bytes(count * each, '\0');
            if (H5Aread(attribute.get(), type.get(), bytes.data()) < 0) throw fail();
            const H5T_str_t padding = H5Tget_strpad(stored.get());
            for (std::uint64_t i = 0; i < count; ++i) {
                texts.push_back(without_padding(std::string_view(bytes).substr(i * each, each), padding));
            }
        }
        return texts;
    }
};

Hdf5File::Hdf5File(const std::filesystem::path &file) : opened_(std::make_unique<Opened>()) {
    opened_->name = file.string();
    std::error_code error;
    opened_->size = std::filesystem::file_size(file, error);
    if (error) throw FileError(fmt::format("{}: cannot be opened: {}", opened_->name, error.message()));
    opened_->stream.open(file, std::ios::binary);
    std::ifstream &stream = opened_->stream;
    opened_->structure = std::make_unique<Hdf5Structure>(
        [&stream](std::uint64_t offset, char *to, std::size_t count) {
            stream.clear();
            stream.seekg(static_cast<std::streamoff>(offset));
            return static_cast<bool>(stream.read(to, static_cast<std::streamsize>(count)));
        },
        opened_->size, opened_->name);
    const LibraryCalls calls;
    opened_->file = Handle(H5Fopen(opened_->name.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose);
    if (!opened_->file) throw FileError(fmt::format("{}: cannot be opened as HDF5: {}", opened_->name, library_error()));
}

Hdf5File::Hdf5File(std::string image, std::string name) : opened_(std::make_unique<Opened>()) {
    opened_->name = std::move(name);
    opened_->image = std::move(image);
    opened_->size = opened_->image.size();
    if (opened_->image.empty()) throw FileError(fmt::format("{}: expected HDF5, found nothing", opened_->name));
    const std::string &bytes = opened_->image;
    opened_->structure = std::make_unique<Hdf5Structure>(
        [&bytes](std::uint64_t offset, char *to, std::size_t count) {
            if (offset > bytes.size() || bytes.size() - offset < count) return false;
            std::copy_n(bytes.data() + offset, count, to);
            return true;
        },
        opened_->size, opened_->name);
    const LibraryCalls calls;
    const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
    H5FD_file_image_callbacks_t callbacks = {image_malloc,     image_memcpy,     image_realloc,        image_free,
                                             image_udata_copy, image_udata_free, opened_->image.data()};
    // The increment is how the image would grow, were it written.
    if (H5Pset_fapl_core(access.get(), 1 << 16, false) >= 0 && H5Pset_file_image_callbacks(access.get(), &callbacks) >= 0 &&
        H5Pset_file_image(access.get(), opened_->image.data(), opened_->image.size()) >= 0) {
        opened_->file = Handle(H5Fopen(opened_->name.c_str(), H5F_ACC_RDONLY, access.get()), H5Fclose);
    }
    if (!opened_->file) throw FileError(fmt::format("{}: cannot be opened as HDF5: {}", opened_->name, library_error()));
}

Hdf5File::~Hdf5File() = default;
Hdf5File::Hdf5File(Hdf5File &&) noexcept = default;
Hdf5File &Hdf5File::operator=(Hdf5File &&) noexcept = default;

bool Hdf5File::begins(std::string_view start) { return start.starts_with(signature); }

const std::string &Hdf5File::name() const { return opened_->name; }

bool Hdf5File::has_group(const std::string &path) const {
    const LibraryCalls calls;
    const Handle object = opened_->find(path);
    return object && H5Iget_type(object.get()) == H5I_GROUP;
}

bool Hdf5File::has_dataset(const std::string &path) const {
    const LibraryCalls calls;
    const Handle object = opened_->find(path);
    return object && H5Iget_type(object.get()) == H5I_DATASET;
}

std::vector<std::string> Hdf5File::members(const std::string &path) const {
    const LibraryCalls calls;
    const Handle group = opened_->find(path);
    if (!group || H5Iget_type(group.get()) != H5I_GROUP) {
        throw FileError(fmt::format("{}: expected a group, found {}", opened_->where(path), group ? "a dataset" : "nothing"));
    }
    opened_->check_group(group.get(), path);
    std::vector<std::string> names;
    const auto append = [](hid_t, const char *name, const H5L_info_t *, void *to) -> herr_t {
        auto &list = *static_cast<std::vector<std::string> *>(to);
        if (list.size() == most_members) return 1;
        list.emplace_back(name);
        return 0;
    };
    const herr_t status = H5Literate(group.get(), H5_INDEX_NAME, H5_ITER_INC, nullptr, append, &names);
    if (status < 0) opened_->fail(path);
    if (status > 0) throw FileError(fmt::format("{}: expected at most {} members, found more", opened_->where(path), most_members));
    return names;
}

std::optional<std::vector<std::string>> Hdf5File::strings(const std::string &path, const std::string &attribute) const {
    const LibraryCalls calls;
    const Handle object = opened_->find(path);
    if (!object) throw FileError(fmt::format("{}: expected a group, found nothing", opened_->where(path)));
    return opened_->strings(object.get(), attribute, opened_->where(path));
}

std::vector<std::int64_t> Hdf5File::shape(const std::string &path) const {
    const LibraryCalls calls;
    const Handle dataset = opened_->find_dataset(path);
    return opened_->dataset_extents(dataset.get(), path).shape;
}

Array Hdf5File::read(const std::string &path, Allowance &allowance, const std::function<void(const std::string &)> &warn,
                     Dtype dtype) const {
    Array array;
    Element element = Element::float32;
    const std::string where = opened_->where(path);
    {
        const LibraryCalls calls;
        const Handle dataset = opened_->find_dataset(path);
        const Handle type(H5Dget_type(dataset.get()), H5Tclose);
        if (!type) opened_->fail(path);
        element = opened_->element(dataset.get(), type.get(), path);
        const Extents found = opened_->dataset_extents(dataset.get(), path);
        opened_->check_storage(dataset.get(), found.count * H5Tget_size(type.get()), path);
        allowance.take(found.count * sizeof(float), where);
        array.shape = found.shape;
        reserve(array.values, found.count, where);
        array.values.resize(found.count);
        if (found.count != 0) {
            const bool narrow = element == Element::float16 || element == Element::bfloat16;
            // Two-byte elements are read as they are, into the upper half of the memory that their floats will fill.
            auto *narrow_values = reinterpret_cast<unsigned char *>(array.values.data()) + 2 * found.count;
            void *to = narrow ? static_cast<void *>(narrow_values) : array.values.data();
            if (H5Dread(dataset.get(), narrow ? type.get() : H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, to) < 0) opened_->fail(path);
            const bool big = element == Element::float16 && H5Tget_order(type.get()) == H5T_ORDER_BE;
            for (std::uint64_t i = 0; narrow && i < found.count; ++i) {
                const unsigned low = narrow_values[2 * i + (big ? 1 : 0)], high = narrow_values[2 * i + (big ? 0 : 1)];
                const auto bits = static_cast<std::uint16_t>(high << 8 | low);
                array.values[i] = element == Element::float16 ? static_cast<float>(float16::from_bits(bits)) : from_bfloat16(bits);
            }
        }
    }
    const bool as_it_is = element == Element::float32 || (element == Element::float16 && dtype == Dtype::float16);
    if (warn && !as_it_is) {
        const char *name = element == Element::float64 ? "float64" : element == Element::float16 ? "float16" : "bfloat16";
        warn(fmt::format("{}: converted from {} to float32", where, name));
    }
    return array;
}

}  // namespace sepconv::io
