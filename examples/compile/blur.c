/* A picture, blurred and turned grey by a compiled layer:
 *     sepconv compile --config blur.json --weights blur.npz --input-shape 1,6,8,3 -o out
 *     cc -std=c99 blur.c out/blur.a -Iout -lm -lpthread -o blur */
#include <stdio.h>

#include "blur.h"

enum { height = BLUR_INPUT_HEIGHT, width = BLUR_INPUT_WIDTH, channels = BLUR_INPUT_CHANNELS };

int main(void) {
    static float picture[BLUR_INPUT_SIZE], grey[BLUR_OUTPUT_SIZE];
    picture[(3 * width + 4) * channels] = 9; /* black, with a red pixel in the middle */

    const int code = blur(picture, grey);
    if (code != 0) {
        fprintf(stderr, "blur: %s\n", blur_error(code));
        return 1;
    }
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) printf("%6.3f", grey[y * width + x]);
        printf("\n");
    }
    return 0;
}
