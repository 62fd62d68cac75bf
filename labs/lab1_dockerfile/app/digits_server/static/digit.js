// Turn strokes into the 64 numbers that the model was trained on.
//
// The data set's makers fitted each digit to 32 x 32 dots and counted the dark dots
// in blocks of 4 x 4. The same is done here; a drawing that is small, off the middle
// or thin would otherwise look like nothing that the model has ever seen.

const SIDE = 32;
const BLOCK = 4;
const WIDEST = 26; // digits of the data set leave the outer columns empty
const USUAL_INK = 310; // dark dots of an average digit, whichever digit it is
const THINNEST = 2.5;
const THICKEST = 9;

/** Return 64 whole numbers from 0 to 16 for strokes: lists of [x, y] points. */
export function toNumbers(strokes) {
  let [thin, thick] = [THINNEST, THICKEST];
  for (let round = 0; round < 6; round++) { // as thick as brings the ink to the usual amount
    const width = (thin + thick) / 2;
    if (ink(dots(strokes, width)) < USUAL_INK) thin = width; else thick = width;
  }
  return blocks(dots(strokes, (thin + thick) / 2));
}

function dots(strokes, width) {
  const points = strokes.flat();
  const [xs, ys] = [points.map((p) => p[0]), points.map((p) => p[1])];
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  const [w, h] = [Math.max(...xs) - left, Math.max(...ys) - top];
  const room = SIDE - width;
  const tall = room / Math.max(h, w / 2.5, 1);
  const wide = Math.min(tall, (WIDEST - width) / Math.max(w, 1));
  const canvas = new OffscreenCanvas(SIDE, SIDE);
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.lineCap = pen.lineJoin = "round";
  pen.lineWidth = width;
  for (const stroke of strokes) {
    pen.beginPath();
    for (const [x, y] of stroke) {
      pen.lineTo(SIDE / 2 + (x - left - w / 2) * wide, SIDE / 2 + (y - top - h / 2) * tall);
    }
    if (stroke.length === 1) pen.lineTo(SIDE / 2 + (stroke[0][0] - left - w / 2) * wide + 0.01,
                                        SIDE / 2 + (stroke[0][1] - top - h / 2) * tall);
    pen.stroke();
  }
  const pixels = pen.getImageData(0, 0, SIDE, SIDE).data;
  return Array.from({ length: SIDE * SIDE }, (_, i) => pixels[4 * i + 3] / 255);
}

function ink(all) {
  return all.reduce((sum, dot) => sum + dot, 0);
}

function blocks(all) {
  const numbers = new Array(64).fill(0);
  all.forEach((dot, i) => {
    const [row, column] = [Math.floor(i / SIDE), i % SIDE];
    numbers[Math.floor(row / BLOCK) * 8 + Math.floor(column / BLOCK)] += dot;
  });
  return numbers.map((sum) => Math.min(16, Math.round(sum)));
}
