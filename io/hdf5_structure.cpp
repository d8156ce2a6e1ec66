// The walk over an HDF5 file's structure, block by block. Every read is bounded by the block that it is in, every block by the file.
#include "hdf5_structure.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "message.h"
#include "sepconv/error.h"

namespace sepconv::io {

namespace {

constexpr std::string_view signature = "\x89HDF\r\n\x1a\n";
constexpr std::uint64_t undefined = ~std::uint64_t(0);
// Bytes of the variable-length strings in one attribute; Keras' longest is model_config, of some megabytes.
constexpr std::uint64_t most_string_bytes = std::uint64_t(1) << 25;
// A block of metadata; the largest that Keras' files have is a global heap collection that holds model_config.
constexpr std::uint64_t most_block_bytes = std::uint64_t(1) << 27;
constexpr int highest_rank = 32;
constexpr int most_filters = 32;
constexpr int most_btree_levels = 16;

enum Message {
    nil = 0x00,
    dataspace = 0x01,
    link_info = 0x02,
    datatype = 0x03,
    old_fill_value = 0x04,
    fill_value = 0x05,
    link = 0x06,
    external_storage = 0x07,
    layout = 0x08,
    group_info = 0x0a,
    filters = 0x0b,
    attribute = 0x0c,
    comment = 0x0d,
    old_modified = 0x0e,
    continuation = 0x10,
    symbol_table = 0x11,
    modified = 0x12,
    btree_ranks = 0x13,
    attribute_info = 0x15,
    references = 0x16,
};

enum Class { fixed_point = 0, floating_point = 1, string = 3, opaque = 5, variable_length = 9 };

struct Datatype {
    int type_class = 0;
    bool is_variable_string = false;
    std::uint64_t size = 0;
};

std::uint64_t padded(std::uint64_t size) { return (size + 7) / 8 * 8; }

// HDF5's checksum of metadata: Bob Jenkins' lookup3 (hashlittle, https://burtleburtle.net/bob/hash/doobs.html) from 0.
std::uint32_t lookup3(std::string_view bytes) {
    std::uint32_t a = 0xdeadbeef + static_cast<std::uint32_t>(bytes.size()), b = a, c = a;
    const auto add = [&](std::string_view twelve) {
        std::uint32_t words[3] = {};
        for (std::size_t i = 0; i < twelve.size(); ++i) words[i / 4] |= std::uint32_t(static_cast<unsigned char>(twelve[i])) << (i % 4 * 8);
        a += words[0];
        b += words[1];
        c += words[2];
    };
    const auto subtract = [](std::uint32_t &x, std::uint32_t &y, std::uint32_t &z, int turn) {
        x -= z;
        x ^= std::rotl(z, turn);
        z += y;
    };
    while (bytes.size() > 12) {
        add(bytes.substr(0, 12));
        bytes.remove_prefix(12);
        subtract(a, b, c, 4);
        subtract(b, c, a, 6);
        subtract(c, a, b, 8);
        subtract(a, b, c, 16);
        subtract(b, c, a, 19);
        subtract(c, a, b, 4);
    }
    if (bytes.empty()) return c;
    add(bytes);
    const auto finish = [](std::uint32_t &x, std::uint32_t y, int turn) {
        x ^= y;
        x -= std::rotl(y, turn);
    };
    finish(c, b, 14);
    finish(a, c, 11);
    finish(b, a, 25);
    finish(c, b, 16);
    finish(a, c, 4);
    finish(b, a, 14);
    finish(c, b, 24);
    return c;
}

}  // namespace

// Bytes of the file that are read from front to back and not beyond their end.
class Hdf5Structure::Block {
public:
    Block(const Hdf5Structure &owner, std::uint64_t address, std::string bytes, const char *what)
        : owner_(&owner), address_(address), bytes_(std::move(bytes)), what_(what) {}

    std::uint64_t address() const { return address_ + at_; }
    std::uint64_t left() const { return bytes_.size() - at_; }

    std::string_view take(std::uint64_t count) {
        if (count > left()) fail(fmt::format("{} more bytes", count), fmt::format("{}", left()));
        at_ += count;
        return std::string_view(bytes_).substr(at_ - count, count);
    }
    void skip(std::uint64_t count) { take(count); }
    std::uint64_t number(std::size_t size) {
        std::uint64_t value = 0;
        const std::string_view bytes = take(size);
        for (std::size_t i = 0; i < size; ++i) value |= std::uint64_t(static_cast<unsigned char>(bytes[i])) << (8 * i);
        return value;
    }
    int byte() { return static_cast<int>(number(1)); }
    void expect(std::string_view text) {
        const std::string_view found = take(text.size());
        if (found != text) fail(in_quotes(text), in_quotes(found));
    }
    int expect_between(int least, int most, const char *name) {
        const int found = byte();
        if (found < least || found > most) fail(fmt::format("{} {} to {}", name, least, most), fmt::format("{}", found));
        return found;
    }
    // The next bytes as a block of their own.
    Block part(std::uint64_t size, const char *what) {
        const std::uint64_t start = address();
        return {*owner_, start, std::string(take(size)), what};
    }
    [[noreturn]] void fail(const std::string &expected, const std::string &found) const {
        owner_->fail(address(), fmt::format("{} in a {}", expected, what_), found);
    }

private:
    const Hdf5Structure *owner_;
    std::uint64_t address_;
    std::string bytes_;
    const char *what_;
    std::uint64_t at_ = 0;
};

namespace {

// Reads a datatype, and no further. Classes that Keras has no use for have structures of their own and are refused.
template <typename Block>
Datatype check_datatype(Block &message) {
    Datatype type;
    const int start = message.byte();
    const int version = start >> 4;
    type.type_class = start & 0x0f;
    if (version < 1 || version > 3) message.fail("a version of 1 to 3", fmt::format("{}", version));
    const std::uint64_t bits = message.number(3);
    type.size = message.number(4);
    if (type.size == 0) message.fail("a size above 0", "0");
    switch (type.type_class) {
        case fixed_point:
            message.skip(4);
            break;
        case floating_point:
            message.skip(12);
            break;
        case string:
            break;
        case opaque:
            message.skip(padded(bits & 0xff));
            break;
        case variable_length: {
            const Datatype base = check_datatype(message);
            type.is_variable_string = (bits & 0x0f) == 1;
            if (!type.is_variable_string || base.size != 1 || type.size != 16 || base.type_class == variable_length) {
                message.fail("variable-length strings", "another variable-length type");
            }
            break;
        }
        default:
            message.fail("integers, floats, strings or opaque bytes", fmt::format("elements of class {}", type.type_class));
    }
    return type;
}

}  // namespace

Hdf5Structure::Hdf5Structure(ReadAt read, std::uint64_t file_size, std::string name)
    : read_(std::move(read)), file_size_(file_size), name_(std::move(name)) {
    check_superblock();
}

void Hdf5Structure::fail(std::uint64_t address, const std::string &expected, const std::string &found) const {
    throw FileError(fmt::format("{}: damaged HDF5 at byte {}: expected {}, found {}", name_, base_ + address, expected, found));
}

Hdf5Structure::Block Hdf5Structure::block(std::uint64_t address, std::uint64_t size, const char *what) const {
    if (address > end_ || end_ - address < size || size > most_block_bytes) {
        fail(address, fmt::format("a {} inside the file's {} bytes", what, end_), fmt::format("one of {} bytes", size));
    }
    std::string bytes(size, '\0');
    if (!read_(base_ + address, bytes.data(), size)) fail(address, fmt::format("a {} of {} bytes", what, size), "the end of the file");
    return {*this, address, std::move(bytes), what};
}

// libhdf5 keeps what it has read by address, whatever it was read as; so no address may be used for two things.
void Hdf5Structure::claim(std::uint64_t address, Kind kind, const char *what) {
    if (!claimed_.emplace(address, kind).second) fail(address, fmt::format("a {} of its own", what), "a block that is in use elsewhere");
}

// libhdf5 leaks memory where a checksum is wrong.
void Hdf5Structure::check_checksum(std::uint64_t address, std::uint64_t size, const char *what) const {
    Block all = block(address, size, what);
    const std::uint32_t expected = lookup3(all.take(size - 4));
    const std::uint64_t found = all.number(4);
    if (found != expected) fail(address, fmt::format("a {} with checksum {:08x}", what, expected), fmt::format("{:08x}", found));
}

void Hdf5Structure::check_superblock() {
    // The signature is at 0, or behind a user's block of 512 bytes or a power of two of them.
    std::array<char, 8> start = {};
    for (base_ = 0;; base_ = base_ == 0 ? 512 : 2 * base_) {
        if (base_ > file_size_ || file_size_ - base_ < start.size() || !read_(base_, start.data(), start.size())) {
            throw FileError(fmt::format("{}: expected an HDF5 file, found no signature of one", name_));
        }
        if (std::string_view(start.data(), start.size()) == signature) break;
    }
    end_ = file_size_ - base_;
    const int version = block(signature.size(), 1, "superblock").byte();
    if (version > 3) fail(signature.size(), "superblock version 0 to 3", fmt::format("{}", version));
    const bool old = version < 2;
    Block super = block(0, old ? (version == 0 ? 96 : 100) : 48, "superblock");
    super.skip(signature.size() + 1);
    if (old) {
        for (int i = 0; i < 2; ++i) super.expect(std::string_view("\0", 1));
        super.skip(1);
        super.expect(std::string_view("\0", 1));
    }
    for (const char *what : {"offsets of bytes", "lengths of bytes"}) super.expect_between(8, 8, what);
    super.skip(1);
    if (old) {
        symbols_half_rank_ = static_cast<int>(super.number(2));
        group_half_rank_ = static_cast<int>(super.number(2));
        if (symbols_half_rank_ == 0 || group_half_rank_ == 0) super.fail("B-trees of rank 1 or more", "0");
        super.skip(4);
        chunk_half_rank_ = 32;
        if (version == 1) {
            chunk_half_rank_ = static_cast<int>(super.number(2));
            if (chunk_half_rank_ == 0) super.fail("B-trees of rank 1 or more", "0");
            super.skip(2);
        }
    } else {
        // Files of these versions may hold old groups and chunks too, with the library's default ranks.
        symbols_half_rank_ = 4;
        group_half_rank_ = 16;
        chunk_half_rank_ = 32;
    }
    const std::uint64_t base = super.number(8);
    if (base != base_) super.fail(fmt::format("the base address {}", base_), fmt::format("{}", base));
    const std::uint64_t extension_or_free_space = super.number(8);
    if (extension_or_free_space != undefined) super.fail("no superblock extension and no free-space list", "one");
    // The one address that counts from the start of the file, user's block and all.
    const std::uint64_t end = super.number(8);
    if (end > file_size_) super.fail(fmt::format("a file of at least {} bytes", end), fmt::format("{}: it was cut off", file_size_));
    if (end < base_) super.fail("an end behind the user's block", fmt::format("{}", end));
    end_ = end - base_;
    if (!old) {
        check_checksum(0, 48, "superblock");
        check_object(super.number(8));
        return;
    }
    if (super.number(8) != undefined) super.fail("one file", "a driver that spreads it over several");
    super.skip(8);
    const std::uint64_t root = super.number(8);
    const std::uint64_t cached = super.number(4);
    super.skip(4);
    const SymbolTable table = {super.number(8), super.number(8)};
    check_object(root);
    // The superblock may repeat where the root group's names are; libhdf5 believes it, where the group has such a table at all.
    if (object_.symbol_tables == 0) return;
    const auto is = [this](std::uint64_t address, Kind kind) {
        const auto entry = claimed_.find(address);
        return entry != claimed_.end() && entry->second == kind;
    };
    if (cached > 1 || (cached == 1 && (!is(table.btree, Kind::btree) || !is(table.heap, Kind::heap)))) {
        super.fail("the root group's symbol table", "another one");
    }
}

void Hdf5Structure::check_object(std::uint64_t address) {
    if (!checked_.insert(address).second) return;
    claim(address, Kind::object_header, "object header");
    object_ = {};
    std::vector<std::pair<std::uint64_t, std::uint64_t>> continuations;
    std::uint64_t count = 0;
    Block start = block(address, 16, "object header");
    std::uint64_t declared = 0;
    int version = 1;
    bool has_order = false;
    if (start.byte() == 1) {
        start.skip(1);
        declared = start.number(2);
        start.skip(4);
        const std::uint64_t size = start.number(4);
        Block chunk = block(address + 16, size, "object header");
        check_messages(chunk, version, has_order, continuations, count);
    } else {
        version = 2;
        // 4 of signature, version, flags, times, phase change, size of the chunk: at most 34 bytes, where the file has as many.
        start = block(address, std::min<std::uint64_t>(34, end_ - address), "object header");
        start.expect("OHDR");
        start.expect_between(2, 2, "version");
        const int flags = start.byte();
        has_order = (flags & 0x04) != 0;
        start.skip(((flags & 0x20) != 0 ? 16 : 0) + ((flags & 0x10) != 0 ? 4 : 0));
        const std::uint64_t size = start.number(std::size_t(1) << (flags & 0x03));
        Block chunk = block(start.address(), size, "object header");
        check_checksum(address, start.address() - address + size + 4, "object header");
        check_messages(chunk, version, has_order, continuations, count);
    }
    for (std::size_t i = 0; i < continuations.size(); ++i) {
        const auto [at, size] = continuations[i];
        claim(at, Kind::continuation, "object header continuation");
        Block chunk = block(at, size, "object header continuation");
        if (version == 2) {
            if (size < 8) chunk.fail("at least 8 bytes", fmt::format("{}", size));
            check_checksum(at, size, "object header continuation");
            chunk.expect("OCHK");
            chunk = chunk.part(size - 8, "object header continuation");
        }
        check_messages(chunk, version, has_order, continuations, count);
    }
    if (version == 1 && count != declared) {
        fail(address, fmt::format("an object header of {} messages", declared), fmt::format("{}", count));
    }
    check_object_as_a_whole(address);
}

void Hdf5Structure::check_object_as_a_whole(std::uint64_t address) const {
    if (object_.symbol_tables > 1) fail(address, "one symbol table", fmt::format("{}", object_.symbol_tables));
    if (object_.fill_size != 0 && object_.fill_size != object_.element_size) {
        fail(address, fmt::format("a fill value of {} bytes", object_.element_size), fmt::format("one of {}", object_.fill_size));
    }
    if (object_.chunk_rank == 0) return;
    if (object_.chunk_rank != object_.rank + 1 || object_.chunk_element_size != object_.element_size) {
        fail(address, fmt::format("chunks of rank {} with elements of {} bytes", object_.rank, object_.element_size),
             fmt::format("rank {} and {} bytes", object_.chunk_rank - 1, object_.chunk_element_size));
    }
}

void Hdf5Structure::check_messages(Block &chunk, int version, bool has_order,
                                   std::vector<std::pair<std::uint64_t, std::uint64_t>> &continuations, std::uint64_t &count) {
    const std::uint64_t header = version == 1 ? 8 : has_order ? 6 : 4;
    // Version 2 may leave a gap that is too small for a message.
    while (version == 1 ? chunk.left() != 0 : chunk.left() >= header) {
        const int type = static_cast<int>(chunk.number(version == 1 ? 2 : 1));
        const std::uint64_t size = chunk.number(2);
        const int flags = chunk.byte();
        chunk.skip(header - (version == 1 ? 5 : 4));
        if (version == 1 && size % 8 != 0) chunk.fail("a message of a multiple of 8 bytes", fmt::format("{}", size));
        Block message = chunk.part(size, "object header message");
        ++count;
        if (type == continuation) {
            const std::uint64_t address = message.number(8);
            continuations.emplace_back(address, message.number(8));
        } else {
            check_message(type, flags, std::move(message));
        }
    }
}

void Hdf5Structure::check_message(int type, int flags, Block message) {
    constexpr int shared = 0x02;
    if (type != nil && (flags & shared) != 0) message.fail("a message in its place", "a shared one");
    switch (type) {
        case nil:
        case comment:
        case old_modified:
            break;
        case dataspace:
            object_.rank = check_dataspace(message).rank;
            break;
        case datatype:
            object_.element_size = check_datatype(message).size;
            break;
        case old_fill_value:
        case fill_value:
            check_fill_value(type, message);
            break;
        case link:
            check_link(message);
            break;
        case layout:
            check_layout(message);
            break;
        case filters:
            check_filters(message);
            break;
        case attribute:
            check_attribute(message);
            break;
        case symbol_table: {
            ++object_.symbol_tables;
            const std::uint64_t btree = message.number(8);
            check_symbol_table({btree, message.number(8)});
            break;
        }
        // Their fields lie within these sizes at most; a shorter one is refused, as libhdf5 would read on behind it.
        case link_info: {
            message.expect_between(0, 0, "version");
            const int fields = message.byte();
            message.skip(((fields & 1) != 0 ? 8 : 0) + 16 + ((fields & 2) != 0 ? 8 : 0));
            break;
        }
        case attribute_info: {
            message.expect_between(0, 0, "version");
            const int fields = message.byte();
            message.skip(((fields & 1) != 0 ? 2 : 0) + 16 + ((fields & 2) != 0 ? 8 : 0));
            break;
        }
        case group_info: {
            message.expect_between(0, 0, "version");
            const int fields = message.byte();
            message.skip(((fields & 1) != 0 ? 4 : 0) + ((fields & 2) != 0 ? 4 : 0));
            break;
        }
        case modified:
            message.skip(8);
            break;
        case references:
            message.skip(5);
            break;
        case external_storage:
            message.fail("values in the file itself", "external storage");
        default:
            message.fail("a message that groups and datasets have", fmt::format("type {}", type));
    }
}

// A null space has no elements.
Hdf5Structure::Extents Hdf5Structure::check_dataspace(Block &message) {
    const int version = message.expect_between(1, 2, "version");
    const int rank = message.expect_between(0, highest_rank, "rank");
    const int flags = message.byte();
    if ((flags & ~1) != 0) message.fail("no permutation of the extents", "one");
    const int kind = message.byte();
    if (version == 1) message.skip(4);
    std::uint64_t count = 1;
    for (int d = 0; d < rank; ++d) {
        const std::uint64_t extent = message.number(8);
        if (extent != 0 && count > (undefined >> 8) / extent) message.fail("extents that memory can hold", fmt::format("{}", extent));
        count *= extent;
    }
    if ((flags & 1) != 0) message.skip(std::uint64_t(8) * rank);
    return {rank, version == 2 && kind == 2 ? 0 : count};
}

void Hdf5Structure::check_fill_value(int type, Block &message) {
    if (type == fill_value) {
        const int version = message.expect_between(1, 3, "version");
        if (version == 3) {
            if ((message.byte() & 0x20) == 0) return;
        } else {
            message.skip(2);
            const bool defined = message.byte() != 0;
            if (version == 2 && !defined) return;
        }
    }
    const std::uint64_t size = message.number(4);
    // A size of -1 says that there is none.
    if (size == 0xffffffff) return;
    message.skip(size);
    object_.fill_size = size;
}

void Hdf5Structure::check_link(Block &message) {
    message.expect_between(1, 1, "version");
    const int flags = message.byte();
    const int kind = (flags & 0x08) != 0 ? message.byte() : 0;
    message.skip(((flags & 0x04) != 0 ? 8 : 0) + ((flags & 0x10) != 0 ? 1 : 0));
    const std::uint64_t length = message.number(std::size_t(1) << (flags & 0x03));
    if (length == 0) message.fail("a name", "none");
    message.skip(length);
    message.skip(kind == 0 ? 8 : message.number(2));
}

void Hdf5Structure::check_layout(Block &message) {
    const int version = message.expect_between(3, 4, "version");
    const int kind = message.expect_between(0, version == 3 ? 2 : 3, "class");
    if (kind == 0) {
        message.skip(message.number(2));
    } else if (kind == 1) {
        const std::uint64_t address = message.number(8);
        const std::uint64_t size = message.number(8);
        if (address != undefined && (address > end_ || end_ - address < size)) {
            message.fail(fmt::format("values inside the file's {} bytes", end_), fmt::format("{} bytes at byte {}", size, address));
        }
    } else if (version == 3) {
        const int rank = message.expect_between(2, highest_rank + 1, "rank");
        const std::uint64_t address = message.number(8);
        // The last extent is the element's size.
        for (int d = 0; d < rank; ++d) {
            object_.chunk_element_size = message.number(4);
            if (object_.chunk_element_size == 0) message.fail("extents above 0 for chunks", "0");
        }
        object_.chunk_rank = rank;
        if (address != undefined) check_chunk_index(address, rank);
    }
}

void Hdf5Structure::check_filters(Block &message) {
    const int version = message.expect_between(1, 2, "version");
    const int count = message.expect_between(1, most_filters, "filters");
    if (version == 1) message.skip(6);
    for (int i = 0; i < count; ++i) {
        const std::uint64_t id = message.number(2);
        // From version 2 on, only filters that are not HDF5's own have names.
        const std::uint64_t name = version == 1 || id >= 256 ? message.number(2) : 0;
        message.skip(2);
        const std::uint64_t parameters = message.number(2);
        if (version == 1 && name % 8 != 0) message.fail("a name padded to 8 bytes", fmt::format("{}", name));
        message.skip(name + 4 * (parameters + (version == 1 ? parameters % 2 : 0)));
    }
}

void Hdf5Structure::check_attribute(Block &message) {
    const int version = message.expect_between(1, 3, "version");
    const int shared = message.byte();
    if (version > 1 && shared != 0) message.fail("a type of its own", "a shared one");
    const std::uint64_t name = message.number(2), type_size = message.number(2), space_size = message.number(2);
    if (version == 3) message.skip(1);
    const auto field = [version](std::uint64_t size) { return version == 1 ? padded(size) : size; };
    const std::string_view text = message.take(field(name)).substr(0, name);
    if (text.empty() || text.find('\0') != name - 1) message.fail("a name that ends with a zero", in_quotes(text));
    Block type_part = message.part(field(type_size), "datatype");
    Block space_part = message.part(field(space_size), "dataspace");
    const Datatype type = check_datatype(type_part);
    const std::uint64_t count = check_dataspace(space_part).count;
    if (count > message.left() / type.size) {
        message.fail(fmt::format("{} elements of {} bytes", count, type.size), fmt::format("{} bytes", message.left()));
    }
    if (type.is_variable_string) {
        Block elements = message.part(count * type.size, "list of variable-length strings");
        check_variable_strings(elements, count);
    }
}

void Hdf5Structure::check_variable_strings(Block &elements, std::uint64_t count) {
    std::uint64_t total = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
        const std::uint64_t length = elements.number(4);
        const std::uint64_t address = elements.number(8);
        const auto index = static_cast<std::uint32_t>(elements.number(4));
        if (address == 0 && length == 0) continue;
        const auto &objects = collection(address);
        const auto object = objects.find(index);
        if (object == objects.end() || object->second != length) {
            elements.fail(fmt::format("a string of {} bytes as object {} of the heap at byte {}", length, index, address),
                          object == objects.end() ? "none" : fmt::format("{} bytes", object->second));
        }
        total += length;
        if (total > most_string_bytes) elements.fail(fmt::format("at most {} bytes of strings", most_string_bytes), "more");
    }
}

const std::map<std::uint32_t, std::uint64_t> &Hdf5Structure::collection(std::uint64_t address) {
    const auto known = collections_.find(address);
    if (known != collections_.end()) return known->second;
    const char *what = "global heap collection";
    claim(address, Kind::collection, what);
    Block start = block(address, 16, what);
    start.expect("GCOL");
    start.expect_between(1, 1, "version");
    start.skip(3);
    const std::uint64_t size = start.number(8);
    // libhdf5 reads 4096 bytes before it knows the size.
    if (size < 4096) start.fail("a size of 4096 bytes or more", fmt::format("{}", size));
    Block all = block(address, size, what);
    all.skip(16);
    std::map<std::uint32_t, std::uint64_t> objects;
    // Object 0 is the free space, which ends the collection where there is some.
    while (all.left() >= 16) {
        const auto index = static_cast<std::uint32_t>(all.number(2));
        all.skip(6);
        const std::uint64_t bytes = all.number(8);
        if (index == 0) {
            if (bytes < 16 || bytes - 16 != all.left()) all.fail("free space up to the end", fmt::format("{} bytes of it", bytes));
            break;
        }
        if (bytes > all.left() || padded(bytes) > all.left()) all.fail("an object inside the collection", fmt::format("{} bytes", bytes));
        all.skip(padded(bytes));
        if (!objects.emplace(index, bytes).second) all.fail("one object of each number", fmt::format("two of number {}", index));
    }
    return collections_.emplace(address, std::move(objects)).first->second;
}

void Hdf5Structure::check_symbol_table(const SymbolTable &table) {
    claim(table.heap, Kind::heap, "local heap");
    Block heap = block(table.heap, 32, "local heap");
    heap.expect("HEAP");
    heap.expect_between(0, 0, "version");
    heap.skip(3);
    const std::uint64_t size = heap.number(8);
    std::uint64_t free = heap.number(8);
    const std::uint64_t names_at = heap.number(8);
    // Right behind its header, libhdf5 holds both as one.
    if (names_at != table.heap + 32) claim(names_at, Kind::heap_values, "local heap");
    const std::string names(block(names_at, size, "local heap").take(size));

    // The free list: offsets of the next entry and sizes. 1 ends it; some versions wrote -1.
    std::uint64_t entries = 0;
    while (free != 1 && free != undefined) {
        if (free >= size || size - free < 16 || ++entries > size / 16)
            heap.fail("free space inside the heap", fmt::format("byte {}", free));
        Block entry = block(names_at + free, 16, "local heap");
        const std::uint64_t next = entry.number(8);
        const std::uint64_t bytes = entry.number(8);
        if (bytes < 16 || bytes > size - free) entry.fail("free space inside the heap", fmt::format("{} bytes", bytes));
        free = next;
    }

    const auto check_name = [&](const Block &where, std::uint64_t offset) {
        if (offset >= size || names.find('\0', offset) == std::string::npos) {
            where.fail(fmt::format("a name inside the heap of {} bytes", size), fmt::format("one at {}", offset));
        }
    };
    walk_btree(table.btree, 0, 8, group_half_rank_, [&](std::string_view, std::uint64_t child) {
        claim(child, Kind::symbols, "symbol table node");
        Block node = block(child, 8 + std::uint64_t(80) * symbols_half_rank_, "symbol table node");
        node.expect("SNOD");
        node.expect_between(1, 1, "version");
        node.skip(1);
        const std::uint64_t symbols = node.number(2);
        if (symbols > std::uint64_t(2) * symbols_half_rank_)
            node.fail(fmt::format("at most {} names", 2 * symbols_half_rank_), fmt::format("{}", symbols));
        for (std::uint64_t i = 0; i < symbols; ++i) {
            check_name(node, node.number(8));
            node.skip(8);
            const std::uint64_t kind = node.number(4);
            node.skip(4);
            if (kind > 2) node.fail("a name of kind 0 to 2", fmt::format("{}", kind));
            if (kind == 2) {
                check_name(node, node.number(4));
                node.skip(12);
            } else {
                node.skip(16);
            }
        }
    });
}

void Hdf5Structure::check_chunk_index(std::uint64_t address, int rank) {
    walk_btree(address, 1, 8 + std::uint64_t(8) * rank, chunk_half_rank_, [&](std::string_view key, std::uint64_t child) {
        std::uint64_t size = 0;
        for (std::size_t i = 0; i < 4; ++i) size |= std::uint64_t(static_cast<unsigned char>(key[i])) << (8 * i);
        if (child > end_ || end_ - child < size) fail(child, "a chunk inside the file", fmt::format("one of {} bytes", size));
    });
}

void Hdf5Structure::walk_btree(std::uint64_t address, int type, std::uint64_t key_size, int half_rank,
                               const std::function<void(std::string_view key, std::uint64_t child)> &leaf) {
    const char *what = "B-tree node";
    const std::uint64_t size = 24 + (2 * std::uint64_t(half_rank) + 1) * key_size + 16 * std::uint64_t(half_rank);
    std::vector<std::uint64_t> nodes = {address};
    for (int level = -1; !nodes.empty();) {
        std::vector<std::uint64_t> children;
        for (std::size_t i = 0; i < nodes.size(); ++i) {
            claim(nodes[i], Kind::btree, what);
            Block node = block(nodes[i], size, what);
            node.expect("TREE");
            node.expect_between(type, type, "type");
            if (level < 0) {
                level = node.expect_between(0, most_btree_levels, "level");
            } else {
                node.expect_between(level, level, "level");
            }
            const std::uint64_t used = node.number(2);
            if (used > 2 * std::uint64_t(half_rank)) node.fail(fmt::format("at most {} children", 2 * half_rank), fmt::format("{}", used));
            if (used == 0 && (level > 0 || nodes.size() > 1)) node.fail("a child", "none");
            // The neighbours at one level point at each other.
            const std::uint64_t before = i == 0 ? undefined : nodes[i - 1];
            const std::uint64_t behind = i + 1 == nodes.size() ? undefined : nodes[i + 1];
            if (node.number(8) != before || node.number(8) != behind) node.fail("the nodes beside it as neighbours", "others");
            for (std::uint64_t child = 0; child < used; ++child) {
                const std::string_view key = node.take(key_size);
                const std::uint64_t at = node.number(8);
                if (level == 0) {
                    leaf(key, at);
                } else {
                    children.push_back(at);
                }
            }
        }
        nodes = std::move(children);
        --level;
    }
}

}  // namespace sepconv::io
