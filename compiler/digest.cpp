// Digests by OpenSSL, and the build IDs that linkers leave in programs (elf(5), "GNU build ID").
#include "digest.h"

#include <elf.h>
#include <fmt/format.h>
#include <link.h>
#include <openssl/evp.h>

#include <cstring>
#include <vector>

#include "files.h"
#include "tools/subcommands.h"

namespace sepconv::compiler {

struct Digest::State {
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    State() = default;
    State(const State &) = delete;
    State &operator=(const State &) = delete;
    ~State() { EVP_MD_CTX_free(context); }
};

Digest::Digest() : state_(std::make_unique<State>()) {
    if (state_->context == nullptr || EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) != 1) {
        throw tools::Failure("SHA-256: cannot be computed here");
    }
}

Digest::~Digest() = default;

void Digest::add(const void *bytes, std::size_t count) { EVP_DigestUpdate(state_->context, bytes, count); }

void Digest::add(std::string_view text) {
    const std::uint64_t size = text.size();
    add(&size, sizeof(size));
    add(text.data(), text.size());
}

std::string Digest::finish() {
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned int count = 0;
    EVP_DigestFinal_ex(state_->context, bytes, &count);
    std::string text;
    for (unsigned int i = 0; i < count; ++i) text += fmt::format("{:02x}", bytes[i]);
    return text;
}

std::string digest_of(std::string_view bytes) {
    Digest digest;
    digest.add(bytes.data(), bytes.size());
    return digest.finish();
}

namespace {

// The notes of one loaded file, in which the build ID has the type NT_GNU_BUILD_ID.
std::string build_id(const dl_phdr_info &object) {
    for (int i = 0; i < object.dlpi_phnum; ++i) {
        const ElfW(Phdr) &segment = object.dlpi_phdr[i];
        if (segment.p_type != PT_NOTE) continue;
        const auto address = object.dlpi_addr + segment.p_vaddr;
        const char *note = reinterpret_cast<const char *>(address);  // NOLINT(performance-no-int-to-ptr): the linker has it as a number
        const char *end = note + segment.p_memsz;
        while (note + sizeof(ElfW(Nhdr)) <= end) {
            ElfW(Nhdr) header;
            std::memcpy(&header, note, sizeof(header));
            const auto padded = [](std::size_t bytes) { return (bytes + 3) / 4 * 4; };
            const char *name = note + sizeof(header), *value = name + padded(header.n_namesz);
            if (header.n_type == NT_GNU_BUILD_ID && header.n_namesz == 4 && std::memcmp(name, "GNU", 4) == 0) {
                return std::string(value, header.n_descsz);
            }
            note = value + padded(header.n_descsz);
        }
    }
    return {};
}

int add_object(dl_phdr_info *object, std::size_t, void *list) {
    const std::string path = object->dlpi_name;
    // The kernel's own, which has no file.
    if (path.find("vdso") != std::string::npos) return 0;
    std::string id = build_id(*object);
    if (id.empty()) id = read_file(path.empty() ? "/proc/self/exe" : path);
    static_cast<std::vector<std::string> *>(list)->push_back(id);
    return 0;
}

}  // namespace

std::string build_identity() {
    std::vector<std::string> ids;
    dl_iterate_phdr(add_object, &ids);
    Digest digest;
    for (const std::string &id : ids) digest.add(id);
    return digest.finish();
}

}  // namespace sepconv::compiler
