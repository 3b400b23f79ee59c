// Where the contours of a result lie on its slices, and how much they hold.

/** Area of the first ROI (the whole tumour) on each slice, in pixels. */
export function areas(content) {
  const found = new Array(content.size[2]).fill(0);
  for (const [k, contours] of Object.entries(content.contours)) {
    // Holes run the other way round than the borders about them.
    found[k] = Math.abs(contours.reduce((sum, { roi, points }) => sum + (roi === 0 ? shoelace(points) : 0), 0));
  }
  if (!found.some(Boolean)) found[Math.floor(found.length / 2)] = 1e-9;
  return found;
}

function shoelace(points) {
  let twice = 0;
  for (let i = 0, j = points.length - 2; i < points.length; j = i, i += 2) twice += points[j] * points[i + 1] - points[i] * points[j + 1];
  return twice / 2;
}

/** Window around all contours with a margin, in the shape of the whole slice; null without contours. */
export function bounds(content) {
  const all = Object.values(content.contours).flat().flatMap((one) => [...pairs(one.points)]);
  if (!all.length) return null;
  const [columns, rows] = content.size;
  const span = (axis) => [Math.min(...sample(all, axis)), Math.max(...sample(all, axis))];
  const [x0, x1] = span(0);
  const [y0, y1] = span(1);
  const part = Math.min(1, 1.4 * Math.max((x1 - x0) / columns, (y1 - y0) / rows) + 0.05);
  const width = columns * part;
  const height = rows * part;
  const within = (middle, length, limit) => Math.min(Math.max(middle - length / 2, 0), limit - length);
  return [within((x0 + x1) / 2, width, columns), within((y0 + y1) / 2, height, rows), width, height];
}

function* pairs(points) {
  for (let i = 0; i < points.length; i += 2) yield [points[i], points[i + 1]];
}

/** One coordinate of at most some thousand points: arguments of Math.min are limited. */
const sample = (all, axis) => {
  const stride = Math.ceil(all.length / 20000);
  return all.filter((_, place) => place % stride === 0).map((point) => point[axis]);
};
