// Where the data format comes from when a config names none: keras.json, by Keras' rules.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "sepconv/config.h"

namespace sepconv {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;

// A home of its own for each test, with the environment as it was afterwards.
class KerasJson : public testing::Test {
protected:
    void SetUp() override {
        std::string pattern = (fs::temp_directory_path() / "keras_json_test.XXXXXX").string();
        ASSERT_NE(mkdtemp(pattern.data()), nullptr);
        home_ = pattern;
        setenv("HOME", home_.c_str(), 1);
        unsetenv("KERAS_HOME");
    }

    void TearDown() override {
        fs::remove_all(home_);
        restore("HOME", old_home_);
        restore("KERAS_HOME", old_keras_home_);
    }

    void write(const std::string &path, const std::string &text) {
        const fs::path file = home_ / path;
        fs::create_directories(file.parent_path());
        std::ofstream(file, std::ios::binary) << text;
    }

    DataFormat read() {
        return default_data_format([this](const std::string &remark) { remarks_.push_back(remark); });
    }

    std::string refusal() {
        try {
            read();
        } catch (const ConfigError &error) {
            return error.what();
        }
        return "accepted";
    }

    fs::path home_;
    std::vector<std::string> remarks_;

private:
    static std::optional<std::string> environment(const char *name) {
        const char *value = std::getenv(name);
        return value ? std::optional<std::string>(value) : std::nullopt;
    }
    static void restore(const char *name, const std::optional<std::string> &value) {
        value ? setenv(name, value->c_str(), 1) : unsetenv(name);
    }

    std::optional<std::string> old_home_ = environment("HOME"), old_keras_home_ = environment("KERAS_HOME");
};

constexpr const char *first = R"({"floatx": "float32", "epsilon": 1e-07, "backend": "tensorflow", "image_data_format": "channels_first"})";

TEST_F(KerasJson, AbsentMeansChannelsLast) { EXPECT_EQ(read(), DataFormat::channels_last); }

TEST_F(KerasJson, IsReadFromTheHomeDirectory) {
    write(".keras/keras.json", first);
    EXPECT_EQ(read(), DataFormat::channels_first);
}

TEST_F(KerasJson, WithoutADataFormatMeansChannelsLast) {
    write(".keras/keras.json", R"({"floatx": "float32"})");
    EXPECT_EQ(read(), DataFormat::channels_last);
}

TEST_F(KerasJson, OfKerasHomeComesFirst) {
    write(".keras/keras.json", R"({"image_data_format": "channels_last"})");
    write("elsewhere/keras.json", first);
    setenv("KERAS_HOME", (home_ / "elsewhere").c_str(), 1);
    EXPECT_EQ(read(), DataFormat::channels_first);
}

TEST_F(KerasJson, OfTheHomeDirectoryIsNoFallbackForKerasHome) {
    write(".keras/keras.json", first);
    setenv("KERAS_HOME", (home_ / "empty").c_str(), 1);
    EXPECT_EQ(read(), DataFormat::channels_last);
}

TEST_F(KerasJson, TildeInKerasHomeIsTheHomeDirectory) {
    write("settings/keras.json", first);
    setenv("KERAS_HOME", "~/settings", 1);
    EXPECT_EQ(read(), DataFormat::channels_first);
}

TEST_F(KerasJson, TildeAloneIsTheHomeDirectory) {
    write("keras.json", first);
    setenv("KERAS_HOME", "~", 1);
    EXPECT_EQ(read(), DataFormat::channels_first);
}

TEST_F(KerasJson, TildeOfNobodyIsNoHomeDirectory) {
    write("keras.json", first);
    setenv("KERAS_HOME", "~no_such_user_here", 1);
    EXPECT_EQ(read(), DataFormat::channels_last);
}

TEST_F(KerasJson, IsCaseSensitive) {
    write(".keras/keras.json", R"({"image_data_format": "Channels_First"})");
    EXPECT_THAT(refusal(),
                EndsWith("keras.json: image_data_format: expected \"channels_last\" or \"channels_first\", found \"Channels_First\""));
}

TEST_F(KerasJson, ErrorsNameTheFile) {
    write(".keras/keras.json", R"({"image_data_format": 1})");
    EXPECT_THAT(refusal(), testing::StartsWith((home_ / ".keras/keras.json: image_data_format: expected").string()));
}

TEST_F(KerasJson, ThatIsNoJsonIsIgnoredWithARemark) {
    write(".keras/keras.json", "image_data_format: channels_first");
    EXPECT_EQ(read(), DataFormat::channels_last);
    EXPECT_THAT(remarks_, ElementsAre(EndsWith("keras.json is ignored, as Keras ignores it: it is not JSON")));
}

TEST_F(KerasJson, ThatIsNoJsonIsIgnoredWhereNobodyListens) {
    write(".keras/keras.json", "{");
    EXPECT_EQ(default_data_format(), DataFormat::channels_last);
}

TEST_F(KerasJson, ThatIsRightIsReadInSilence) {
    write(".keras/keras.json", first);
    read();
    EXPECT_THAT(remarks_, IsEmpty());
}

TEST_F(KerasJson, ThatIsAListIsRefused) {
    write(".keras/keras.json", "[]");
    EXPECT_THAT(refusal(), HasSubstr("keras.json: expected an object with the settings of Keras, found []"));
}

TEST_F(KerasJson, ThatIsEnormousIsRefused) {
    write(".keras/keras.json", std::string(2 << 20, ' '));
    EXPECT_THAT(refusal(), EndsWith("keras.json: expected at most 1048576 bytes, found more"));
}

TEST_F(KerasJson, ThatIsAFolderIsRefused) {
    fs::create_directories(home_ / ".keras/keras.json");
    EXPECT_THAT(refusal(), EndsWith("keras.json: expected a file, found something else"));
}

TEST_F(KerasJson, ThatIsAPipeIsRefusedWithoutWaiting) {
    fs::create_directories(home_ / ".keras");
    ASSERT_EQ(mkfifo((home_ / ".keras/keras.json").c_str(), 0600), 0);
    EXPECT_THAT(refusal(), EndsWith("keras.json: expected a file, found something else"));
}

TEST_F(KerasJson, ThatNestsWithoutEndIsIgnoredWithARemark) {
    write(".keras/keras.json", std::string(500000, '['));
    EXPECT_EQ(read(), DataFormat::channels_last);
}

TEST_F(KerasJson, IsReadForAConfigThatNamesNoDataFormat) {
    write(".keras/keras.json", first);
    EXPECT_EQ(parse_config(R"({"filters": 4, "kernel_size": 3, "data_format": null})").data_format, DataFormat::channels_first);
}

TEST_F(KerasJson, IsNotReadForAConfigThatNamesItsDataFormat) {
    write(".keras/keras.json", R"({"image_data_format": 1})");
    EXPECT_EQ(parse_config(R"({"filters": 4, "kernel_size": 3, "data_format": "channels_last"})").data_format, DataFormat::channels_last);
}

}  // namespace
}  // namespace sepconv
