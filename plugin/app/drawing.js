// What is painted and erased: how deep each voxel lies in the tumour, strokes, undo. No page in here.

/** Of a voxel that nobody touched. */
const UNTOUCHED = 255;
/** The regions from the outermost; a voxel's depth is how many of them it lies in, so that they stay nested. */
export const DEPTHS = ["WT", "TC", "ET"];

/** The voxels of a result, and what a person makes of them. */
export class Drawing {
  /** content: the automatic contours; corrected: those of the correction that is gone on from, as the node answers them, or null. */
  constructor(content, corrected) {
    this.content = content;
    this.corrected = corrected;
    [this.columns, this.rows, this.count] = content.size;
    this.slices = new Map();
    this.undone = [];
    this.done = [];
    this.stroke = null;
  }

  /** Whether anything differs from what was there at the beginning. */
  get changed() {
    return this.done.length > 0;
  }

  /** Depths of a slice's voxels, row by row. */
  depths(k) {
    return this.slice(k).shown;
  }

  slice(k) {
    if (!this.slices.has(k)) {
      const size = this.columns * this.rows;
      const automatic = nested(new Uint8Array(size), this.inside(this.content.contours[k] ?? [], (one) => this.content.rois[one.roi].region));
      const shown = this.corrected ? this.correctedDepths(k, automatic) : automatic.slice();
      // Edits are told against the automatic contours: a correction before them goes along.
      const said = Uint8Array.from(shown, (depth, i) => (depth === automatic[i] ? UNTOUCHED : depth));
      this.slices.set(k, { shown, said });
    }
    return this.slices.get(k);
  }

  /** Regions that the correction does not say are the automatic ones, cut to those around them. */
  correctedDepths(k, automatic) {
    const drawn = this.inside(this.corrected.contours[k] ?? [], (one) => one.region);
    const said = DEPTHS.map((region) => this.corrected.regions.includes(region));
    return automatic.map((depth, i) => {
      let found = 0;
      DEPTHS.forEach((_, n) => { if (said[n] && drawn[n]?.[i]) found = n + 1; });
      for (let n = 0; n < DEPTHS.length; n += 1) if (!said[n] && depth > n && found === n) found = n + 1;
      return found;
    });
  }

  /** For each region, 1 where a voxel's centre lies inside of its contours, by the even-odd rule. */
  inside(contours, regionOf) {
    return DEPTHS.map((region) => {
      const own = contours.filter((one) => regionOf(one) === region);
      return own.length ? filled(own.map((one) => one.points), this.columns, this.rows) : null;
    });
  }

  // --- strokes ---

  begin(k) {
    this.end();
    this.stroke = { k, was: new Map() };
  }

  /**
   * Paint or erase a disc around a voxel; radius in mm.
   * What is painted lies in the region and all around it; what is erased of a region leaves those within it, too.
   */
  dab(column, row, radius, region, erase) {
    const { k, was } = this.stroke;
    const { shown, said } = this.slice(k);
    const [across, down] = this.content.spacing_mm;
    const depth = DEPTHS.indexOf(region) + 1;
    const reach = [Math.floor(radius / across), Math.floor(radius / down)];
    for (let j = Math.max(0, row - reach[1]); j <= Math.min(this.rows - 1, row + reach[1]); j += 1) {
      for (let i = Math.max(0, column - reach[0]); i <= Math.min(this.columns - 1, column + reach[0]); i += 1) {
        if (((i - column) * across) ** 2 + ((j - row) * down) ** 2 > radius ** 2) continue;
        const place = j * this.columns + i;
        const next = erase ? Math.min(shown[place], depth - 1) : Math.max(shown[place], depth);
        if (next === shown[place]) continue;
        if (!was.has(place)) was.set(place, [shown[place], said[place]]);
        shown[place] = next;
        said[place] = next;
      }
    }
  }

  /** End a stroke; whether it changed anything. */
  end() {
    const { stroke } = this;
    this.stroke = null;
    if (!stroke?.was.size) return false;
    this.done.push(stroke);
    this.undone = [];
    return true;
  }

  /** Take the last stroke back; the slice it lies on, or null where there is none. */
  undo() {
    return this.swap(this.done, this.undone);
  }

  redo() {
    return this.swap(this.undone, this.done);
  }

  swap(from, to) {
    this.end();
    const stroke = from.pop();
    if (!stroke) return null;
    const { shown, said } = this.slice(stroke.k);
    const now = new Map();
    for (const [place, [depth, word]] of stroke.was) {
      now.set(place, [shown[place], said[place]]);
      shown[place] = depth;
      said[place] = word;
    }
    to.push({ k: stroke.k, was: now });
    return stroke.k;
  }

  // --- what is sent ---

  /** Every voxel that something is said of, as the node takes them: runs of gap, length and depth on each slice. */
  edits() {
    const before = this.corrected ? [...Object.keys(this.content.contours), ...Object.keys(this.corrected.contours)].map(Number) : [];
    const numbers = [...new Set([...this.slices.keys(), ...before])].sort((a, b) => a - b);
    return numbers.map((k) => ({ slice: k, runs: runs(this.slice(k).said) })).filter((one) => one.runs.length);
  }
}

function nested(depths, inside) {
  return depths.map((_, i) => inside.reduce((found, mask, n) => (mask?.[i] ? n + 1 : found), 0));
}

/** Voxels whose centre lies inside of polygons (column and row of each point in turn) by the even-odd rule. */
export function filled(polygons, columns, rows) {
  const mask = new Uint8Array(columns * rows);
  for (const points of polygons) {
    for (let i = 0, j = points.length - 2; i < points.length; j = i, i += 2) {
      const [x0, y0, x1, y1] = [points[j], points[j + 1], points[i], points[i + 1]];
      const last = Math.min(rows, Math.ceil(Math.max(y0, y1)));
      for (let row = Math.max(0, Math.ceil(Math.min(y0, y1))); row < last; row += 1) {
        const column = Math.max(0, Math.ceil(x0 + ((row - y0) * (x1 - x0)) / (y1 - y0)));
        if (column < columns) mask[row * columns + column] ^= 1;
      }
    }
  }
  // A crossing flips all voxels behind it in its row.
  for (let row = 0; row < rows; row += 1) {
    let inside = 0;
    for (let place = row * columns; place < (row + 1) * columns; place += 1) mask[place] = inside ^= mask[place];
  }
  return mask;
}

function runs(said) {
  const found = [];
  let end = 0;
  for (let place = 0; place < said.length; place += 1) {
    if (said[place] === UNTOUCHED) continue;
    const begin = place;
    while (place + 1 < said.length && said[place + 1] === said[begin]) place += 1;
    found.push(begin - end, place + 1 - begin, said[begin]);
    end = place + 1;
  }
  return found;
}
