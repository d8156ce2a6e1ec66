// Checks an HDF5 file's structure before libhdf5 follows it. libhdf5 trusts much of what it reads: one changed byte in a header can make
// it read freed memory, and a made-up size has it ask for terabytes. Each object is checked before libhdf5 opens it, so that every
// address, size and count in it is known to stay inside the file and inside its block.
//
// What the checked structures are is in the HDF5 File Format Specification, version 3.0. Those that carry checksums of their own and
// that Keras never writes (fractal heaps, version 2 B-trees, the chunk indexes of version 4 layouts) are left to libhdf5.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace sepconv::io {

class Hdf5Structure {
public:
    /// Copies `count` bytes from a place in the file, and tells whether they were there.
    using ReadAt = std::function<bool(std::uint64_t offset, char *to, std::size_t count)>;

    /// Checks the superblock and the root group.
    /// @param name  stands for the file in messages
    /// @throws FileError
    Hdf5Structure(ReadAt read, std::uint64_t file_size, std::string name);

    /// Checks the group or dataset at an address as HDF5 counts them, with its attributes; a group with the names of its members, but
    /// not the members. Does nothing where this was done already.
    /// @throws FileError
    void check_object(std::uint64_t address);

private:
    class Block;
    enum class Kind { object_header, continuation, btree, symbols, heap, heap_values, collection };
    struct SymbolTable {
        std::uint64_t btree = 0;
        std::uint64_t heap = 0;
    };

    [[noreturn]] void fail(std::uint64_t address, const std::string &expected, const std::string &found) const;
    Block block(std::uint64_t address, std::uint64_t size, const char *what) const;
    void claim(std::uint64_t address, Kind kind, const char *what);
    /// The last 4 bytes of a block are the checksum of those before.
    void check_checksum(std::uint64_t address, std::uint64_t size, const char *what) const;
    void check_superblock();
    void check_object_as_a_whole(std::uint64_t address) const;
    void check_messages(Block &chunk, int version, bool has_order, std::vector<std::pair<std::uint64_t, std::uint64_t>> &continuations,
                        std::uint64_t &count);
    void check_message(int type, int flags, Block message);
    struct Extents {
        int rank = 0;
        std::uint64_t count = 0;
    };
    static Extents check_dataspace(Block &message);
    void check_fill_value(int type, Block &message);
    void check_link(Block &message);
    void check_layout(Block &message);
    void check_filters(Block &message);
    void check_attribute(Block &message);
    void check_variable_strings(Block &elements, std::uint64_t count);
    void check_symbol_table(const SymbolTable &table);
    void check_chunk_index(std::uint64_t address, int rank);
    /// Calls `leaf` with the children of the lowest level, in order.
    void walk_btree(std::uint64_t address, int type, std::uint64_t key_size, int half_rank,
                    const std::function<void(std::string_view key, std::uint64_t child)> &leaf);
    const std::map<std::uint32_t, std::uint64_t> &collection(std::uint64_t address);

    ReadAt read_;
    std::uint64_t file_size_;
    std::string name_;
    std::uint64_t base_ = 0;  ///< where the file begins behind a user's block; addresses count from here
    std::uint64_t end_ = 0;   ///< the first address behind the file
    int symbols_half_rank_ = 0;
    int group_half_rank_ = 0;
    int chunk_half_rank_ = 0;
    std::set<std::uint64_t> checked_;
    std::map<std::uint64_t, Kind> claimed_;
    std::map<std::uint64_t, std::map<std::uint32_t, std::uint64_t>> collections_;

    // What the messages of the object that is being checked say, to be held against one another.
    struct Object {
        int symbol_tables = 0;
        int rank = 0;
        std::uint64_t element_size = 0;
        int chunk_rank = 0;
        std::uint64_t chunk_element_size = 0;
        std::uint64_t fill_size = 0;
    };
    Object object_;
};

}  // namespace sepconv::io
