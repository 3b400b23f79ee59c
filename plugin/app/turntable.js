// Draws surfaces by WebGL and turns them about; nothing moves by itself. three.js (MIT) is served from the node, too.

import {
  AmbientLight, BufferAttribute, BufferGeometry, Color, DirectionalLight, Matrix4, Mesh, MeshLambertMaterial, OrthographicCamera, Quaternion, SRGBColorSpace, Scene,
  Vector3, WebGLRenderer,
} from "./three-0.184.0/three.module.min.js";
import { h } from "./dom.js";
import { around, box, seenFrom } from "./surfaces.js";

/** What is to the right of the picture, what is up, and where one stands, in LPS: as radiologists look at slices. */
export const VIEWS = {
  axial: [[1, 0, 0], [0, -1, 0], [0, 0, -1]],
  coronal: [[1, 0, 0], [0, 0, 1], [0, -1, 0]],
  sagittal: [[0, 1, 0], [0, 0, 1], [1, 0, 0]],
};
const LETTERS = [["R", "L"], ["A", "P"], ["I", "S"]];
/** Opacity and turn: outer surfaces last, over what they hold, and the more transparent. */
const LOOKS = { ET: [1, 0], cavity: [0.8, 1], TC: [0.7, 2], WT: [0.6, 3], brain: [0.4, 4], head: [0.4, 4] };
/** Where regions end together, the inner one is seen: each turn counts as so much farther away, in steps of depth (about 0.7 mm). */
const BEHIND = 15000;
/** What is transparent is the more so where it faces the eye: then its form shows, and what lies in it. */
const RIM = "diffuseColor.a *= mix(0.3, 1.5, pow(1.0 - abs(normal.z), 1.5));\n#include <opaque_fragment>";
const AROUND_COLOUR = [190, 205, 220];
const MARGIN = 1.25;
const ZOOMS = [0.5, 12];

/** A picture of surfaces that can be turned. */
export class Turntable {
  /** told: called with the words for whence one looks, whenever they change; lost: called when the browser takes WebGL away. Throws where there is none. */
  constructor(told, lost) {
    this.told = told;
    this.lost = lost;
    this.canvas = h("canvas", { tabindex: 0, role: "img" });
    // Asked for here, so that its lack is no error of three's.
    const context = this.canvas.getContext("webgl2", { antialias: true, preserveDrawingBuffer: true });
    if (!context) throw new Error("no WebGL");
    this.renderer = new WebGLRenderer({ canvas: this.canvas, context });
    this.canvas.addEventListener("webglcontextlost", lost);
    this.labels = LETTERS.flatMap((pair, axis) => pair.map((letter, end) => ({ axis, sign: end ? 1 : -1, element: h("span", { class: "end", "aria-hidden": "true" }, letter) })));
    this.element = h("div", { class: "stage" }, this.canvas, this.labels.map((one) => one.element));
    this.scene = new Scene();
    this.camera = new OrthographicCamera();
    this.lamp = new DirectionalLight(0xffffff, 0.65 * Math.PI);
    this.scene.add(new AmbientLight(0xffffff, 0.35 * Math.PI), this.camera);
    // Held a little above the eye, so that what faces it has a form.
    this.lamp.position.set(-0.4, 0.6, 1);
    this.camera.add(this.lamp, this.lamp.target);
    this.lamp.target.position.set(0, 0, 0);
    this.meshes = new Map();
    this.pointers = new Map();
    this.zoom = 1;
    this.turned = new Quaternion();
    for (const type of ["pointerdown", "pointermove", "pointerup", "pointercancel"]) this.canvas.addEventListener(type, (event) => this.pointer(event));
    this.canvas.addEventListener("wheel", (event) => { event.preventDefault(); this.nearer(event.deltaY < 0 ? 1.1 : 1 / 1.1); }, { passive: false });
    this.resize = new ResizeObserver(() => this.draw());
    this.resize.observe(this.element);
  }

  /** Show other surfaces; what is hidden by its name stays so, and so does the view. */
  show(surfaces, hidden) {
    for (const mesh of this.meshes.values()) this.drop(mesh);
    this.meshes = new Map(surfaces.map((surface) => [surface.name, this.meshOf(surface)]));
    this.box = box(around(surfaces));
    this.radius = Math.max(...this.box.lengths) / 2 || 1;
    for (const name of hidden) this.toggle(name, false);
    this.draw();
  }

  meshOf({ name, colour, points, triangles }) {
    const geometry = new BufferGeometry();
    geometry.setAttribute("position", new BufferAttribute(points, 3));
    geometry.setIndex(new BufferAttribute(triangles, 1));
    geometry.computeVertexNormals();
    const [opacity, order] = LOOKS[name];
    const [red, green, blue] = (colour ?? AROUND_COLOUR).map((part) => part / 255);
    const material = new MeshLambertMaterial({ color: new Color().setRGB(red, green, blue, SRGBColorSpace), opacity, transparent: opacity < 1, depthWrite: opacity === 1, polygonOffset: true, polygonOffsetUnits: order * BEHIND });
    if (opacity < 1) material.onBeforeCompile = (shader) => { shader.fragmentShader = shader.fragmentShader.replace("#include <opaque_fragment>", RIM); };
    const mesh = new Mesh(geometry, material);
    mesh.renderOrder = order;
    this.scene.add(mesh);
    return mesh;
  }

  drop(mesh) {
    this.scene.remove(mesh);
    mesh.geometry.dispose();
    mesh.material.dispose();
  }

  toggle(name, on) {
    const mesh = this.meshes.get(name);
    if (mesh) mesh.visible = on;
    this.draw();
  }

  /** Look as at slices: axial, coronal or sagittal, all of it. */
  view(name) {
    this.turned.setFromRotationMatrix(new Matrix4().makeBasis(...VIEWS[name].map((axis) => new Vector3(...axis))));
    this.zoom = 1;
    this.draw();
  }

  /** Turn what is seen to the right and down, in degrees. */
  turn(right, down) {
    const about = (axis, degrees) => new Quaternion().setFromAxisAngle(axis, (-degrees * Math.PI) / 180);
    this.turned.multiply(about(new Vector3(0, 1, 0), right)).multiply(about(new Vector3(1, 0, 0), down)).normalize();
    this.draw();
  }

  nearer(factor) {
    this.zoom = Math.min(Math.max(this.zoom * factor, ZOOMS[0]), ZOOMS[1]);
    this.draw();
  }

  /** One finger or the mouse turns, two fingers zoom. */
  pointer(event) {
    const before = this.pointers.get(event.pointerId);
    if (event.type === "pointerdown") {
      this.canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, event);
    } else if (event.type !== "pointermove") {
      this.pointers.delete(event.pointerId);
    } else if (before) {
      const other = [...this.pointers.values()].find((one) => one.pointerId !== event.pointerId);
      if (other) this.nearer(apart(event, other) / (apart(before, other) || 1));
      else this.turn((event.clientX - before.clientX) / 2, (event.clientY - before.clientY) / 2);
      this.pointers.set(event.pointerId, event);
    }
  }

  /** Draw once before the next picture, however much has changed. */
  draw() {
    this.asked ??= requestAnimationFrame(() => {
      this.asked = null;
      if (this.box && this.element.clientWidth) this.paint(this.element.clientWidth, this.element.clientHeight);
    });
  }

  paint(width, height) {
    const { camera, renderer, radius } = this;
    const half = (radius * MARGIN) / this.zoom;
    const across = half * Math.max(1, width / height);
    const down = half * Math.max(1, height / width);
    Object.assign(camera, { left: -across, right: across, top: down, bottom: -down, near: 0, far: 8 * radius });
    const away = new Vector3(0, 0, 1).applyQuaternion(this.turned);
    camera.position.set(...this.box.middle).addScaledVector(away, 4 * radius);
    camera.quaternion.copy(this.turned);
    camera.updateProjectionMatrix();
    camera.updateMatrixWorld();
    renderer.setPixelRatio(Math.min(window.devicePixelRatio || 1, 2));
    renderer.setSize(width, height, false);
    renderer.render(this.scene, camera);
    for (const one of this.labels) this.place(one, width, height, away);
    this.told(seenFrom(away.toArray()));
  }

  /** A letter of orientation beside what is seen; one that points away is faint. */
  place({ axis, sign, element }, width, height, away) {
    const end = new Vector3(...this.box.middle);
    end.setComponent(axis, end.getComponent(axis) + sign * (this.box.lengths[axis] / 2 + 0.07 * this.radius));
    end.project(this.camera);
    const towards = sign * away.getComponent(axis);
    element.style.transform = `translate(-50%, -50%) translate(${((end.x + 1) / 2) * width}px, ${((1 - end.y) / 2) * height}px)`;
    element.dataset.far = towards < -0.2;
    // What points at the eye lies over the middle of the picture.
    element.hidden = Math.abs(towards) > 0.95;
  }

  close() {
    this.resize.disconnect();
    cancelAnimationFrame(this.asked);
    this.asked = 0;
    for (const mesh of this.meshes.values()) this.drop(mesh);
    this.canvas.removeEventListener("webglcontextlost", this.lost);
    this.renderer.dispose();
    this.renderer.forceContextLoss();
  }
}

const apart = (one, other) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
