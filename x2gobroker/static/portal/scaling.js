// How large the picture is: fit to the window, as large as the window (the desktop follows it), the same with all pixels
// of the screen, or pixel by pixel. And zooming and moving it by fingers.
import { by } from "./cover.js";
import { remember, remembered } from "./remember.js";

const LARGEST_ZOOM = 6;
const SETTLED_SECONDS = 2; // after which a change of the desktop's size is no answer to ours any more

// `usual`: the choice of those who have not chosen yet.
export function setUpScaling(connection, usual = "fit") {
  const choice = by("scaling");
  const offered = (value) => [...choice.options].some((option) => option.value === value);
  const kept = remembered("scaling");
  choice.value = offered(kept) ? kept : usual;
  const zoom = setUpZoom(connection);
  const apply = () => {
    connection.scaling = choice.value;
    zoom.reset(choice.value === "original");
  };
  apply();
  choice.addEventListener("change", () => {
    remember("scaling", choice.value);
    apply();
  });
  setUpLead(connection);
}

// Of several windows with one desktop, the one that was used last decides how large it is.
function setUpLead(connection) {
  let looking = null;
  const lead = () => {
    clearTimeout(looking);
    connection.leads = true;
  };
  const yieldTo = () => { connection.leads = false; };
  addEventListener("focus", lead);
  addEventListener("blur", (event) => event.isTrusted && yieldTo()); // focus.js sends others
  for (const name of ["pointerdown", "keydown"]) addEventListener(name, lead, true);
  connection.addEventListener("size", ({ detail }) => {
    clearTimeout(looking);
    // somebody else has changed it, unless this window is being resized itself
    if (!detail.own) looking = setTimeout(() => !connection.fills && yieldTo(), SETTLED_SECONDS * 1000);
  });
  if (document.hasFocus()) lead();
}

// The screen may be larger than the stage, which then shows a part of it. Where that is, noVNC sees by itself.
function setUpZoom(connection) {
  const stage = by("page");
  const screen = by("screen");
  const hand = by("hand");
  const fingers = new Map();
  let factor = 1;
  let original = false;
  let before = null;

  const lay = () => {
    const canvas = connection.canvas;
    const width = original && canvas ? canvas.width : stage.clientWidth;
    const height = original && canvas ? canvas.height : stage.clientHeight;
    const whole = factor === 1 && !original;
    screen.style.width = whole ? "" : `${Math.max(stage.clientWidth, Math.round(width * factor))}px`;
    screen.style.height = whole ? "" : `${Math.max(stage.clientHeight, Math.round(height * factor))}px`;
    stage.classList.toggle("larger", !whole);
    connection.zoomed = factor !== 1;
  };
  const zoomTo = (wanted, x, y) => {
    const next = Math.min(LARGEST_ZOOM, Math.max(1, wanted));
    const box = stage.getBoundingClientRect();
    const [left, top] = [(stage.scrollLeft + x - box.left) / factor, (stage.scrollTop + y - box.top) / factor];
    factor = next;
    lay();
    stage.scrollTo(left * factor - (x - box.left), top * factor - (y - box.top));
  };
  const inHand = () => hand.getAttribute("aria-pressed") === "true";
  const middle = () => {
    const all = [...fingers.values()];
    const x = all.reduce((sum, at) => sum + at.x, 0) / all.length;
    const y = all.reduce((sum, at) => sum + at.y, 0) / all.length;
    const apart = all.length > 1 ? Math.hypot(all[0].x - all[1].x, all[0].y - all[1].y) : 0;
    return { x, y, apart, factor, count: all.length };
  };
  const down = (event) => {
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    before = middle();
  };
  const move = (event) => {
    if (!fingers.has(event.pointerId)) return;
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    const at = middle();
    if (before && before.count === at.count) {
      if (at.apart && before.apart) zoomTo(factor * (at.apart / before.apart), at.x, at.y);
      stage.scrollBy(before.x - at.x, before.y - at.y);
    }
    before = at;
  };
  const up = (event) => {
    fingers.delete(event.pointerId);
    before = fingers.size ? middle() : null;
  };
  const handlers = { pointerdown: down, pointermove: move, pointerup: up, pointercancel: up };
  for (const [name, handler] of Object.entries(handlers)) {
    screen.addEventListener(name, (event) => {
      if (!inHand() && name === "pointerdown") return;
      handler(event);
      if (inHand()) event.stopPropagation();
    }, true);
  }
  // while the hand is out, nothing of it is for the desktop
  for (const name of ["touchstart", "touchmove", "touchend", "touchcancel", "mousedown", "mousemove", "mouseup", "click", "contextmenu"]) {
    screen.addEventListener(name, (event) => {
      if (!inHand()) return;
      event.stopPropagation();
      if (event.cancelable) event.preventDefault();
    }, { capture: true, passive: false });
  }
  screen.addEventListener("wheel", (event) => {
    if (!inHand()) return;
    event.stopPropagation();
    event.preventDefault();
    zoomTo(factor * (event.deltaY < 0 ? 1.2 : 1 / 1.2), event.clientX, event.clientY);
  }, { capture: true, passive: false });
  hand.addEventListener("click", () => {
    hand.setAttribute("aria-pressed", String(!inHand()));
    stage.classList.toggle("hand", inHand());
    fingers.clear();
  });
  new ResizeObserver(() => lay()).observe(stage);
  connection.addEventListener("size", lay);
  return {
    reset(isOriginal) {
      original = isOriginal;
      factor = 1;
      lay();
    },
  };
}
