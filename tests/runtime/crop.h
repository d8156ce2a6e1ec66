// A tensor as a part of a larger one, for tests of what lies around it.
#pragma once

#include <cstdint>
#include <vector>

#include "random_layer.h"

namespace sepconv::testing_layers {

// A tensor inside a larger one: margins on every side of every dimension but the batch's.
template <typename T>
struct Crop {
    Shape outer = {}, start = {};
    std::vector<T> values;

    Crop(const Shape &shape, Random &random, T fill) {
        std::size_t count = 1;
        for (int i = 0; i < 4; i++) {
            start[i] = random.chance(50) ? random.in(0, 3) : 0;
            outer[i] = start[i] + shape[i] + (random.chance(50) ? random.in(0, 5) : 0);
            count *= static_cast<std::size_t>(outer[i]);
        }
        values.assign(count, fill);
    }
    Shape strides() const { return TensorView<T>::dense_strides(outer); }
    T *first() {
        const Shape s = strides();
        return values.data() + start[0] * s[0] + start[1] * s[1] + start[2] * s[2] + start[3];
    }
    // Calls each(element, its index in the dense tensor); -1 for what lies around it.
    template <typename Each>
    void visit(const Shape &shape, const Each &each) {
        std::size_t next = 0;
        std::int64_t dense = 0;
        Shape at;
        for (at[0] = 0; at[0] < outer[0]; at[0]++) {
            for (at[1] = 0; at[1] < outer[1]; at[1]++) {
                for (at[2] = 0; at[2] < outer[2]; at[2]++) {
                    for (at[3] = 0; at[3] < outer[3]; at[3]++) {
                        bool inside = true;
                        for (int i = 0; i < 4; i++) inside = inside && at[i] >= start[i] && at[i] < start[i] + shape[i];
                        each(values[next++], inside ? dense++ : -1);
                    }
                }
            }
        }
    }
};

}  // namespace sepconv::testing_layers
