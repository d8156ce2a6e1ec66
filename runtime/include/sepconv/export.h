/* SEPCONV_EXPORT marks what a shared library of sepconv shows to its users; everything else is compiled hidden. C and C++. */
#ifndef SEPCONV_EXPORT_H
#define SEPCONV_EXPORT_H

#if defined(_WIN32)
#if defined(SEPCONV_BUILDING_SHARED)
#define SEPCONV_EXPORT __declspec(dllexport)
#elif defined(SEPCONV_SHARED)
#define SEPCONV_EXPORT __declspec(dllimport)
#else
#define SEPCONV_EXPORT
#endif
#else
#define SEPCONV_EXPORT __attribute__((visibility("default")))
#endif

#endif
