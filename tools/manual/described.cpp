// Reads the command line's own description of itself.
#include "described.h"

namespace sepconv::tools {
namespace {

std::vector<std::string> split(const std::string &text, char separator) {
    std::vector<std::string> parts;
    std::size_t start = 0;
    for (std::size_t end = 0; end != std::string::npos; start = end + 1) {
        end = text.find(separator, start);
        parts.push_back(text.substr(start, end - start));
    }
    return parts;
}

Described described(const CLI::Option &option) {
    Described found;
    for (const std::string &name : option.get_snames()) found.names.push_back("-" + name);
    for (const std::string &name : option.get_lnames()) found.names.push_back("--" + name);
    found.positional = found.names.empty();
    if (found.positional) found.names.push_back(option.get_name(true));
    found.what = option.get_description();
    const bool flag = option.get_items_expected_max() == 0;
    if (!flag && !found.positional) found.value = option.get_type_name();
    if (found.value.find('|') != std::string::npos) found.choices = split(found.value, '|');
    if (!option.get_default_str().empty()) found.what += " (" + option.get_default_str() + " where it is not given)";
    return found;
}

}  // namespace

std::vector<Described> described_options(const CLI::App &app) {
    std::vector<Described> all;
    for (const CLI::Option *option : app.get_options()) {
        if (!option->get_group().empty()) all.push_back(described(*option));
    }
    return all;
}

std::vector<const CLI::App *> described_subcommands(const CLI::App &program) {
    return program.get_subcommands([](const CLI::App *each) { return !each->get_group().empty(); });
}

std::string title(const CLI::App &app) { return split(app.get_description(), '\n').front(); }

}  // namespace sepconv::tools
