// The exceptions that sepconv throws. Every message is written for the person who reads it: what was expected, what was found.
#pragma once

#include <stdexcept>
#include <string>

#include "sepconv/export.h"

namespace sepconv {

/// What every exception of this library derives from.
class SEPCONV_EXPORT Error : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// The layer's config, or a name or value in it, is wrong. The message names the argument and shows what was received.
class SEPCONV_EXPORT ConfigError : public Error {
    using Error::Error;
};

/// A tensor's shape or strides do not fit the layer, or exceed what can be addressed.
class SEPCONV_EXPORT ShapeError : public Error {
    using Error::Error;
};

/// A file cannot be read or written, or what is in it is damaged. The message names the file.
class SEPCONV_EXPORT FileError : public Error {
    using Error::Error;
};

/// The instruction set or device that was asked for is unknown or is not to be had on this machine.
class SEPCONV_EXPORT TargetError : public Error {
    using Error::Error;
};

/// A pipeline reported a failure while it ran.
class SEPCONV_EXPORT ExecutionError : public Error {
    using Error::Error;
};

}  // namespace sepconv
