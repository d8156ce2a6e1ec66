// Keeps each result in a folder named by its key, with a list of its files and their digests.
#include "cache.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <system_error>

#include "digest.h"
#include "files.h"

namespace sepconv::compiler {
namespace {

namespace fs = std::filesystem;

// What the cache may hold; beyond it the results that were used longest ago go.
constexpr std::uintmax_t most_bytes = std::uintmax_t(1) << 30;

// The list names every file with its digest, and ends with its own.
constexpr const char *list_name = "sha256";

std::string absolute_variable(const char *name) {
    const char *value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nothing here changes the environment
    return value != nullptr && *value == '/' ? value : "";
}

std::string list_of(const std::vector<std::pair<std::string, std::string>> &files) {
    std::string text;
    for (const auto &[name, digest] : files) text += fmt::format("{}  {}\n", digest, name);
    return text + fmt::format("{}\n", digest_of(text));
}

// The names and digests in a list; none where it is damaged.
std::vector<std::pair<std::string, std::string>> parse_list(const std::string &text) {
    std::vector<std::pair<std::string, std::string>> files;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        const std::size_t gap = line.find("  ");
        if (gap != std::string::npos) files.emplace_back(line.substr(gap + 2), line.substr(0, gap));
    }
    if (list_of(files) != text) files.clear();
    return files;
}

fs::path new_folder(const fs::path &parent) {
    std::string name = (parent / ".new-XXXXXX").string();
    return ::mkdtemp(name.data()) == nullptr ? fs::path() : fs::path(name);
}

}  // namespace

fs::path Cache::usual_folder() {
    const std::string cache = absolute_variable("XDG_CACHE_HOME"), home = absolute_variable("HOME");
    if (!cache.empty()) return fs::path(cache) / "sepconv";
    return home.empty() ? fs::path() : fs::path(home) / ".cache" / "sepconv";
}

std::vector<std::string> Cache::fetch(const std::string &key, const fs::path &to) const {
    if (folder_.empty()) return {};
    const fs::path entry = folder_ / key;
    std::error_code error;
    if (!fs::is_directory(entry, error)) return {};
    std::vector<std::string> names;
    try {
        const auto files = parse_list(read_file(entry / list_name));
        bool whole = !files.empty();
        for (const auto &[name, digest] : files) {
            const std::string contents = whole ? read_file(entry / name) : "";
            whole = whole && digest_of(contents) == digest;
            if (!whole) break;
            std::ofstream(to / name, std::ios::binary) << contents;
            names.push_back(name);
        }
        if (!whole) {
            fs::remove_all(entry, error);
            return {};
        }
        fs::last_write_time(entry, fs::file_time_type::clock::now(), error);
    } catch (const std::exception &) {
        // Someone else may be removing it.
        return {};
    }
    return names;
}

void Cache::store(const std::string &key, const fs::path &from, const std::vector<std::string> &files) const {
    if (folder_.empty()) return;
    std::error_code error;
    fs::create_directories(folder_, error);
    const fs::path made = new_folder(folder_);
    if (made.empty()) return;
    try {
        std::vector<std::pair<std::string, std::string>> digests;
        for (const std::string &name : files) {
            const std::string contents = read_file(from / name);
            std::ofstream stream(made / name, std::ios::binary);
            stream << contents;
            stream.close();
            if (!stream) throw std::system_error(errno, std::generic_category());
            digests.emplace_back(name, digest_of(contents));
        }
        std::ofstream list(made / list_name, std::ios::binary);
        list << list_of(digests);
        list.close();
        // Where the entry is there already it is the same.
        if (list) fs::rename(made, folder_ / key, error);
    } catch (const std::exception &) {
        error = std::make_error_code(std::errc::io_error);
    }
    fs::remove_all(made, error);
    prune();
}

void Cache::prune() const {
    struct Entry {
        fs::file_time_type used;
        std::uintmax_t bytes = 0;
        fs::path path;
    };
    std::vector<Entry> entries;
    std::uintmax_t total = 0;
    std::error_code error;
    const auto now = fs::file_time_type::clock::now();
    for (const fs::directory_entry &folder : fs::directory_iterator(folder_, error)) {
        Entry entry{folder.last_write_time(error), 0, folder.path()};
        for (const fs::directory_entry &file : fs::directory_iterator(folder, error)) entry.bytes += file.file_size(error);
        // What a killed run has left; a live one takes seconds.
        const bool abandoned = entry.path.filename().string().starts_with(".new-") && now - entry.used > std::chrono::hours(1);
        if (abandoned) {
            fs::remove_all(entry.path, error);
            continue;
        }
        total += entry.bytes;
        entries.push_back(entry);
    }
    std::sort(entries.begin(), entries.end(), [](const Entry &a, const Entry &b) { return a.used < b.used; });
    for (const Entry &entry : entries) {
        if (total <= most_bytes) break;
        fs::remove_all(entry.path, error);
        total -= entry.bytes;
    }
}

}  // namespace sepconv::compiler
