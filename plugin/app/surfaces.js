// Surfaces as the node sends them: points and triangles in the patient's space (LPS, mm), and what they tell in words.

import { getBytes } from "./api.js";

/** Fetch the surfaces behind a path: name, colour, points (three numbers each) and triangles of each. */
export async function surfacesOf(path) {
  const buffer = await getBytes(path);
  const length = new DataView(buffer).getUint32(0, true);
  const { surfaces } = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let place = 4 + length;
  const take = (Kind, count) => {
    const taken = new Kind(buffer, place, count);
    place += 4 * Math.ceil(taken.byteLength / 4);
    return taken;
  };
  return surfaces.map(({ name, colour, points, triangles, wide, origin, step }) => {
    const steps = take(Uint16Array, 3 * points);
    return {
      name,
      colour,
      points: Float32Array.from(steps, (one, index) => origin[index % 3] + step * one),
      triangles: take(wide ? Uint32Array : Uint16Array, 3 * triangles),
    };
  });
}

export const AROUND = ["brain", "head"];

/** What the regions lie in; without it, all of them. */
export const around = (surfaces) => {
  const found = surfaces.filter(({ name }) => AROUND.includes(name));
  return found.length ? found : surfaces;
};

/** Least and greatest coordinate of surfaces along each axis. */
export function box(surfaces) {
  const least = [Infinity, Infinity, Infinity];
  const most = [-Infinity, -Infinity, -Infinity];
  for (const { points } of surfaces) {
    for (let i = 0; i < points.length; i += 1) {
      least[i % 3] = Math.min(least[i % 3], points[i]);
      most[i % 3] = Math.max(most[i % 3], points[i]);
    }
  }
  return { least, most, middle: least.map((one, axis) => (one + most[axis]) / 2), lengths: least.map((one, axis) => most[axis] - one) };
}

/** What is at the end of each axis of LPS, in words; where a place is, and whence one looks. */
const ENDS = [["right", "left"], ["in front", "behind"], ["below", "above"]];
const SIDES = [["right", "left"], ["front", "back"], ["feet", "top"]];
/** So near the middle is the middle. */
const NEAR_MM = 5;

/** Where a surface lies, seen from a point: "32 mm left, 10 mm in front". */
export function whereabouts(surface, middle) {
  const sum = [0, 0, 0];
  surface.points.forEach((one, index) => { sum[index % 3] += one; });
  const away = sum.map((one, axis) => (3 * one) / surface.points.length - middle[axis]);
  const words = away.map((mm, axis) => (Math.abs(mm) < NEAR_MM ? null : `${Math.round(Math.abs(mm))} mm ${ENDS[axis][mm > 0 ? 1 : 0]}`)).filter(Boolean);
  return words.join(", ") || "in the middle";
}

/** Whence a direction looks: "the front and the left". */
export function seenFrom(direction) {
  const parts = direction.map((part, axis) => [Math.abs(part), SIDES[axis][part > 0 ? 1 : 0]]).filter(([size]) => size > 0.35);
  return parts.sort(([a], [b]) => b - a).map(([, side]) => `the ${side}`).join(" and ");
}
