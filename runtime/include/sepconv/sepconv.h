// The C++ interface of sepconv in one include. In use:
//
//     sepconv::LayerConfig config = sepconv::parse_config(json);             // layer.get_config() of a Keras layer
//     sepconv::Layer layer(config, weights);                                 // packs the weights once
//     layer.run({input, {1, 60, 60, 8}}, {output, {1, 60, 60, 16}});         // as often as you like, from any thread
//
// Layers from model files are read by sepconv/io.h, in a library of its own.
#pragma once

#include "sepconv/config.h"
#include "sepconv/error.h"
#include "sepconv/float16.h"
#include "sepconv/layer.h"
#include "sepconv/tensor.h"
