// NumPy's .npy files (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html), versions 1, 2 and 3.
#include "npy.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <system_error>
#include <type_traits>

#include "message.h"
#include "sepconv/error.h"
#include "sepconv/float16.h"

namespace sepconv {

namespace fs = std::filesystem;

namespace io {

namespace {

constexpr std::string_view magic = "\x93NUMPY";
// NumPy writes headers of 128 bytes or so; a longer one than this belongs to a structured array, which is no tensor.
constexpr std::uint32_t longest_header = 1 << 16;
// NumPy's own limit.
constexpr std::size_t highest_rank = 64;
// Bytes read and converted at a time: small beside a cache, large beside a call.
constexpr std::size_t block_bytes = std::size_t(1) << 18;

struct Header {
    std::string descr;
    bool fortran_order = false;
    std::vector<std::int64_t> shape;
};

// Reads the header, a Python literal such as {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }.
class HeaderParser {
public:
    HeaderParser(std::string_view text, const std::string &name) : text_(text), name_(name) {}

    Header parse() {
        Header header;
        bool descr = false, order = false, shape = false;
        expect('{');
        while (!accept('}')) {
            const std::string key = string();
            expect(':');
            if (key == "descr" && !descr) {
                descr = true;
                header.descr = string();
            } else if (key == "fortran_order" && !order) {
                order = true;
                header.fortran_order = boolean();
            } else if (key == "shape" && !shape) {
                shape = true;
                header.shape = tuple();
            } else {
                fail("one each of the keys descr, fortran_order and shape");
            }
            if (!accept(',')) {
                expect('}');
                break;
            }
        }
        skip_space();
        if (at_ != text_.size()) fail("nothing behind the dictionary");
        if (!descr || !order || !shape) fail("the keys descr, fortran_order and shape");
        return header;
    }

private:
    [[noreturn]] void fail(std::string_view expected) const {
        throw FileError(fmt::format("{}: header: expected {}, found {} at byte {}", name_, expected, in_quotes(text_), at_));
    }

    void skip_space() {
        while (at_ < text_.size() && std::strchr(" \t\r\n", text_[at_]) != nullptr && text_[at_] != '\0') ++at_;
    }

    bool accept(char c) {
        skip_space();
        if (at_ == text_.size() || text_[at_] != c) return false;
        ++at_;
        return true;
    }

    void expect(char c) {
        if (!accept(c)) fail(fmt::format("'{}'", c));
    }

    std::string string() {
        skip_space();
        if (at_ < text_.size() && text_[at_] == '[') fail("a plain number type, not a structured one,");
        if (at_ == text_.size() || (text_[at_] != '\'' && text_[at_] != '"')) fail("a string");
        const char quote = text_[at_++];
        const std::size_t end = text_.find(quote, at_);
        if (end == std::string_view::npos) fail("the end of a string");
        std::string value(text_.substr(at_, end - at_));
        at_ = end + 1;
        return value;
    }

    bool boolean() {
        skip_space();
        for (const std::string_view word : {"True", "False"}) {
            if (text_.substr(at_, word.size()) == word) {
                at_ += word.size();
                return word == "True";
            }
        }
        fail("True or False");
    }

    std::int64_t integer() {
        skip_space();
        const std::size_t start = at_;
        std::int64_t value = 0;
        while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') {
            const int digit = text_[at_++] - '0';
            if (value > (std::numeric_limits<std::int64_t>::max() - digit) / 10) fail("extents of less than 2^63");
            value = value * 10 + digit;
        }
        if (at_ == start) fail("extents of 0 or more");
        // Python 2 wrote long integers as 3L.
        if (at_ < text_.size() && text_[at_] == 'L') ++at_;
        return value;
    }

    std::vector<std::int64_t> tuple() {
        std::vector<std::int64_t> values;
        expect('(');
        while (!accept(')')) {
            values.push_back(integer());
            if (values.size() > highest_rank) fail(fmt::format("at most {} dimensions", highest_rank));
            if (!accept(',')) {
                if (values.size() == 1) fail("a tuple of integers, (n,) for one dimension,");
                expect(')');
                break;
            }
        }
        return values;
    }

    std::string_view text_;
    const std::string &name_;
    std::size_t at_ = 0;
};

// How one element lies in the file.
struct ElementFormat {
    std::size_t bytes = 4;
    bool swapped = false;
};

// The format that a header names. `bytes` are those of an element in memory: another type is converted, which is worth a remark where it
// is not what a layer of that dtype computes with.
ElementFormat element_format(const std::string &descr, std::size_t bytes, Dtype dtype, const ByteSource &source,
                             const std::function<void(const std::string &)> &warn) {
    const bool little = std::endian::native == std::endian::little;
    if (descr.size() == 3 && descr[1] == 'f' && std::strchr("<>=", descr[0]) != nullptr && std::strchr("248", descr[2]) != nullptr) {
        const ElementFormat format{std::size_t(descr[2] - '0'), descr[0] != '=' && (descr[0] == '<') != little};
        const bool as_it_is = format.bytes == bytes || (format.bytes == 2 && dtype == Dtype::float16);
        if (!as_it_is && warn) {
            warn(fmt::format("{}: converted from float{} to float{}", source.name, format.bytes * 8, bytes * 8));
        }
        return format;
    }
    throw FileError(fmt::format("{}: expected float16, float32 or float64 ('<f2', '<f4', '<f8', or '>' for big-endian), found {}",
                                source.name, in_quotes(descr)));
}

template <typename Bits>
Bits bits_at(const char *from, bool swapped) {
    Bits bits = 0;
    if (swapped) {
        char turned[sizeof(Bits)];
        std::reverse_copy(from, from + sizeof(Bits), turned);
        std::memcpy(&bits, turned, sizeof(Bits));
    } else {
        std::memcpy(&bits, from, sizeof(Bits));
    }
    return bits;
}

// A double cut to a float whose last bit is set where anything was cut off. It is rounded to float16 as the double would be, which its
// nearest float need not be: that may lie halfway between two of float16.
float cut(double value) {
    auto nearest = static_cast<float>(value);
    if (static_cast<double>(nearest) == value) return nearest;
    if (std::abs(static_cast<double>(nearest)) > std::abs(value)) nearest = std::nextafter(nearest, 0.0F);
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(nearest) | 1U);
}

template <typename To, typename From>
To converted(From value) {
    if constexpr (std::is_same_v<To, From>) return value;
    if constexpr (std::is_same_v<To, float16> && std::is_same_v<From, double>) return float16(cut(value));
    return static_cast<To>(value);
}

template <typename To>
void convert(const char *from, std::size_t count, ElementFormat format, To *to) {
    switch (format.bytes) {
        case 2:
            for (std::size_t i = 0; i < count; ++i) {
                to[i] = converted<To>(float16::from_bits(bits_at<std::uint16_t>(from + 2 * i, format.swapped)));
            }
            break;
        case 4:
            for (std::size_t i = 0; i < count; ++i) {
                to[i] = converted<To>(std::bit_cast<float>(bits_at<std::uint32_t>(from + 4 * i, format.swapped)));
            }
            break;
        default:
            for (std::size_t i = 0; i < count; ++i) {
                to[i] = converted<To>(std::bit_cast<double>(bits_at<std::uint64_t>(from + 8 * i, format.swapped)));
            }
    }
}

// Walks the positions that a Fortran-ordered array's elements, taken as they lie in the file, have in C order.
class FortranOrder {
public:
    explicit FortranOrder(const std::vector<std::int64_t> &shape) : shape_(shape), stride_(shape.size(), 1), index_(shape.size(), 0) {
        for (std::size_t d = shape.size(); d-- > 1;) stride_[d - 1] = stride_[d] * shape[d];
    }

    std::int64_t next() {
        const std::int64_t here = position_;
        for (std::size_t d = 0; d < shape_.size(); ++d) {
            position_ += stride_[d];
            if (++index_[d] < shape_[d]) break;
            position_ -= stride_[d] * shape_[d];
            index_[d] = 0;
        }
        return here;
    }

private:
    const std::vector<std::int64_t> &shape_;
    std::vector<std::int64_t> stride_;
    std::vector<std::int64_t> index_;
    std::int64_t position_ = 0;
};

Header read_header(const ByteSource &source, std::uint64_t &header_bytes) {
    char start[8];
    const std::size_t got = source.read(start, sizeof(start));
    if (got < magic.size() || std::memcmp(start, magic.data(), magic.size()) != 0) {
        throw FileError(fmt::format("{}: expected a .npy array, which begins with '\\x93NUMPY', found {}", source.name,
                                    got == 0 ? "nothing" : in_quotes({start, got})));
    }
    const auto truncated = [&](const char *what) {
        return FileError(fmt::format("{}: expected a .npy header, found the end of the file in its {}", source.name, what));
    };
    if (got < sizeof(start)) throw truncated("version");
    const int version = static_cast<unsigned char>(start[6]);
    if (version < 1 || version > 3 || start[7] != 0) {
        throw FileError(fmt::format("{}: expected .npy format version 1.0, 2.0 or 3.0, found {}.{}", source.name, version,
                                    static_cast<unsigned char>(start[7])));
    }
    unsigned char length_bytes[4] = {};
    const std::size_t length_size = version == 1 ? 2 : 4;
    if (source.read(reinterpret_cast<char *>(length_bytes), length_size) < length_size) throw truncated("length");
    std::uint32_t length = 0;
    for (std::size_t i = 0; i < length_size; ++i) length |= std::uint32_t(length_bytes[i]) << (8 * i);
    if (length > longest_header) {
        throw FileError(fmt::format("{}: expected a .npy header of at most {} bytes, found {}", source.name, longest_header, length));
    }
    std::string text(length, '\0');
    if (source.read(text.data(), length) < length) throw truncated("text");
    header_bytes = sizeof(start) + length_size + length;
    return HeaderParser(text, source.name).parse();
}

// Reads one array of floats, or of float16.
template <typename Stored>
Stored read_array(const ByteSource &source, Allowance &allowance, const std::function<void(const std::string &)> &warn, Dtype dtype) {
    using Element = decltype(Stored::values)::value_type;
    std::uint64_t header_bytes = 0;
    const Header header = read_header(source, header_bytes);
    const ElementFormat format = element_format(header.descr, sizeof(Element), dtype, source, warn);
    const std::uint64_t count = element_count(header.shape, source.name);
    const std::uint64_t bytes = count * format.bytes;
    const auto truncated = [&](std::uint64_t found) {
        return FileError(fmt::format("{}: expected {} bytes of values for shape {}, found {}: {} bytes are missing", source.name, bytes,
                                     shape_text(header.shape), found, bytes - found));
    };
    const std::uint64_t size = source.size.value_or(0);
    const std::uint64_t available = size > header_bytes ? size - header_bytes : 0;
    if (source.size && available < bytes) throw truncated(available);
    allowance.take(count * sizeof(Element), source.name);

    Stored array;
    array.shape = header.shape;
    // A source of unknown size earns its memory as its bytes arrive; a Fortran-ordered array needs its place in C order from the start.
    const bool scattered = header.fortran_order && header.shape.size() > 1;
    if (scattered || source.size) reserve(array.values, count, source.name);
    if (scattered) array.values.resize(count);
    FortranOrder order(array.shape);
    std::vector<char> block(std::min<std::uint64_t>(bytes, block_bytes));
    std::vector<Element> block_values(scattered ? block.size() / format.bytes : 0);
    for (std::uint64_t done = 0; done < count;) {
        const std::size_t wanted = std::min<std::uint64_t>(count - done, block.size() / format.bytes);
        const std::size_t got = source.read(block.data(), wanted * format.bytes);
        if (got < wanted * format.bytes) throw truncated(done * format.bytes + got);
        if (scattered) {
            convert(block.data(), wanted, format, block_values.data());
            for (std::size_t i = 0; i < wanted; ++i) array.values[order.next()] = block_values[i];
        } else {
            array.values.resize(done + wanted);
            convert(block.data(), wanted, format, array.values.data() + done);
        }
        done += wanted;
    }
    return array;
}

}  // namespace

Array read_npy(const ByteSource &source, Allowance &allowance, const std::function<void(const std::string &)> &warn, Dtype dtype) {
    return read_array<Array>(source, allowance, warn, dtype);
}

Float16Array read_npy_float16(const ByteSource &source, Allowance &allowance, const std::function<void(const std::string &)> &warn) {
    return read_array<Float16Array>(source, allowance, warn, Dtype::float16);
}

}  // namespace io

namespace {

using File = std::unique_ptr<std::FILE, int (*)(std::FILE *)>;

using io::element_count;
using io::shape_text;

// Opens a file and reads an array from it with one of the functions above.
template <typename Read>
auto read_file(const fs::path &file, const ReadOptions &options, const Read &read) {
    const std::string name = file.string();
    std::error_code error;
    if (fs::is_directory(file, error)) throw FileError(fmt::format("{}: expected a .npy file, found a directory", name));
    const File opened(std::fopen(name.c_str(), "rb"), std::fclose);
    if (!opened) throw FileError(fmt::format("{}: cannot be opened: {}", name, std::generic_category().message(errno)));

    io::ByteSource source;
    source.name = name;
    // A pipe has no size.
    if (fs::is_regular_file(file, error)) {
        const std::uintmax_t size = fs::file_size(file, error);
        if (!error) source.size = size;
    }
    source.read = [&](char *to, std::size_t count) {
        const std::size_t got = std::fread(to, 1, count, opened.get());
        if (got < count && std::ferror(opened.get()) != 0) {
            throw FileError(fmt::format("{}: cannot be read: {}", name, std::generic_category().message(errno)));
        }
        return got;
    };
    io::Allowance allowance(options.max_bytes);
    auto array = read(source, allowance, options.warn);
    if (options.warn && std::fgetc(opened.get()) != EOF) options.warn(fmt::format("{}: only the first array in it was read", name));
    return array;
}

// The values of an array that has as many as its shape says.
template <typename Stored>
const auto *counted_values(const fs::path &file, const Stored &array) {
    const std::uint64_t count = element_count(array.shape, file.string());
    if (count != array.values.size()) {
        throw ShapeError(fmt::format("{}: expected {} values for shape {}, found {}", file.string(), count, shape_text(array.shape),
                                     array.values.size()));
    }
    return array.values.data();
}

template <typename Element>
void write_file(const fs::path &file, const std::vector<std::int64_t> &shape, const Element *values) {
    const std::uint64_t count = element_count(shape, file.string());
    if (shape.size() > io::highest_rank) {
        throw ShapeError(fmt::format("{}: expected at most {} dimensions, found {}", file.string(), io::highest_rank, shape.size()));
    }
    // A renamed file would put itself in the place of a link or a device: the first is followed, the second refused.
    std::error_code error;
    fs::path target = file;
    if (fs::is_symlink(file, error)) {
        target = fs::canonical(file, error);
        if (error) throw FileError(fmt::format("{}: cannot be written: {}", file.string(), error.message()));
    }
    if (fs::exists(target, error) && !fs::is_regular_file(target, error)) {
        throw FileError(fmt::format("{}: expected a file or a new name, found {}", file.string(),
                                    fs::is_directory(target, error) ? "a directory" : "a device or pipe"));
    }

    // The header is padded so that the values begin at a multiple of 64 bytes, as NumPy does.
    std::string header = fmt::format("{{'descr': '<f{}', 'fortran_order': False, 'shape': {}, }}", sizeof(Element), shape_text(shape));
    const std::size_t before = io::magic.size() + 4;
    header.append(63 - (before + header.size()) % 64, ' ');
    header += '\n';
    std::string start(io::magic);
    start += {'\x01', '\x00', static_cast<char>(header.size() & 0xff), static_cast<char>(header.size() >> 8)};
    start += header;

    fs::path temporary;
    File opened(nullptr, std::fclose);
    for (int attempt = 0; !opened; ++attempt) {
        temporary = target.parent_path() / fmt::format(".{}.{:08x}", target.filename().string(), std::random_device{}());
        opened.reset(std::fopen(temporary.string().c_str(), "wbx"));
        // Only a name that another program has just taken is worth a second try.
        if (!opened && (errno != EEXIST || attempt == 100)) {
            throw FileError(fmt::format("{}: cannot be written: {}", file.string(), std::generic_category().message(errno)));
        }
    }
    error.clear();
    bool written = std::fwrite(start.data(), 1, start.size(), opened.get()) == start.size();
    if constexpr (std::endian::native == std::endian::little) {
        written = written && (count == 0 || std::fwrite(values, sizeof(Element), count, opened.get()) == count);
    } else {
        for (std::uint64_t i = 0; written && i < count; ++i) {
            using Bits = std::conditional_t<sizeof(Element) == 2, std::uint16_t, std::uint32_t>;
            const auto bits = io::bits_at<Bits>(reinterpret_cast<const char *>(values + i), true);
            written = std::fwrite(&bits, sizeof(bits), 1, opened.get()) == 1;
        }
    }
    // The last bytes may fail only when they are flushed.
    if (written) written = std::fflush(opened.get()) == 0;
    if (!written) error = std::error_code(errno, std::generic_category());
    const bool closed = std::fclose(opened.release()) == 0;
    if (written && !closed) error = std::error_code(errno, std::generic_category());
    if (written && closed) fs::rename(temporary, target, error);
    if (error) {
        std::error_code ignored;
        fs::remove(temporary, ignored);
        throw FileError(fmt::format("{}: cannot be written: {}", file.string(), error.message()));
    }
}

}  // namespace

Array read_npy(const fs::path &file, const ReadOptions &options) {
    return read_file(file, options, [](auto &...from) { return io::read_npy(from...); });
}

Float16Array read_npy_float16(const fs::path &file, const ReadOptions &options) {
    return read_file(file, options, [](auto &...from) { return io::read_npy_float16(from...); });
}

void write_npy(const fs::path &file, const Array &array) { write_file(file, array.shape, counted_values(file, array)); }

void write_npy(const fs::path &file, const Float16Array &array) { write_file(file, array.shape, counted_values(file, array)); }

void write_npy(const fs::path &file, const std::vector<std::int64_t> &shape, const float *values) { write_file(file, shape, values); }

void write_npy(const fs::path &file, const std::vector<std::int64_t> &shape, const float16 *values) { write_file(file, shape, values); }

}  // namespace sepconv
