// Builds elements. Strings become text nodes, never markup: what DICOM files say cannot run here.

/** Make an element: `h("a", {class: "x", href: "#/", onclick: f}, "text", child)`. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    const told = name.startsWith("data-") || name.startsWith("aria-"); // there, false is a word
    if (value === null || value === undefined || (value === false && !told)) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "disabled") element[name] = value;
    else element.setAttribute(name, value === true && !told ? "" : String(value));
  }
  append(element, children);
  return element;
}

/** Make an SVG element; attributes as they are named in SVG. */
export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
}

/** Replace an element's content. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** Set text only where it differs, so that a poll disturbs neither selection nor screen reader. */
export function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

/** Tell a screen reader. */
export function say(words) {
  text(document.getElementById("said"), words);
}

/** A titled section. */
export function card(title, ...children) {
  const id = `card-${title.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  return h("section", { class: "card", "aria-labelledby": id }, h("h2", { id }, title), children);
}

/** A list of name and value. */
export function facts(...pairs) {
  return h(
    "dl",
    { class: "facts" },
    pairs.filter(([, value]) => value !== null && value !== undefined && value !== "")
      .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}
