// A touch screen as the touchpad of a laptop: fingers move a pointer that can be seen, and do not point themselves. What
// they mean is what libinput takes it for: a tap holds the button for a moment, so that a finger that comes down again
// drags, without a second click.
import { isTouchDevice } from "../novnc/core/util/browser.js";
import { by } from "./cover.js";
import { remember, remembered } from "./remember.js";

const SLACK = 6; // pixels that a finger may move and still tap; they do not move the pointer
const AGAIN_SECONDS = 0.25; // that a tap holds the button
const HOLD_SECONDS = 0.6; // after which a finger that rests means the right button, and taps no more
const WHEEL_STEP = 30; // pixels of two fingers for one step of the wheel
const SLOW = 0.7; // pixels of the pointer for each of a slow finger,
const FAST = 2.5; // and of a fast one
const FAST_SPEED = 1.2; // pixels in a millisecond
const EDGE = 40; // pixels to the edge of what is shown, where a larger picture begins to move
// buttons as VNC numbers them
const [LEFT, MIDDLE, RIGHT, UP, DOWN, WHEEL_LEFT, WHEEL_RIGHT] = [1, 2, 4, 8, 16, 32, 64];

const within = (value, size) => Math.min(size - 1, Math.max(0, value));

class Touchpad {
  #connection; #stage = by("page"); #x = null; #y = null; #buttons = 0;
  #fingers = new Map(); #most = 0; #moved = false; #again = false; #held = false;
  #holding = null; #releasing = null; #wheelX = 0; #wheelY = 0;

  constructor(connection) {
    this.#connection = connection;
  }

  // Fingers have come down, have moved, are gone. `changed`: touches of the browser, `time`: milliseconds.
  down(changed, time) {
    for (const touch of changed) {
      if (!this.#fingers.size) this.#begin();
      const at = { x: touch.clientX, y: touch.clientY };
      this.#fingers.set(touch.identifier, { ...at, from: at, time });
    }
    this.#most = Math.max(this.#most, this.#fingers.size);
    if (this.#most > 1) {
      clearTimeout(this.#holding);
      this.#press(0);
    }
  }

  move(changed, time) {
    for (const touch of changed) {
      const finger = this.#fingers.get(touch.identifier);
      if (!finger) continue;
      const [x, y, spent] = [touch.clientX - finger.x, touch.clientY - finger.y, Math.max(1, time - finger.time)];
      if (!this.#moved && Math.hypot(touch.clientX - finger.from.x, touch.clientY - finger.from.y) < SLACK) continue;
      Object.assign(finger, { x: touch.clientX, y: touch.clientY, time });
      if (!this.#moved) {
        this.#moved = true;
        clearTimeout(this.#holding);
      } else if (this.#most === 1) this.#moveBy(x, y, spent);
      else if (this.#most === 2 && this.#fingers.size === 2) this.#wheelBy(x / 2, y / 2);
    }
  }

  up(changed, time, cancelled = false) {
    const since = this.#fingers.get(changed[0]?.identifier)?.time ?? time;
    const gone = [...changed].filter((touch) => this.#fingers.delete(touch.identifier));
    if (!gone.length || this.#fingers.size) return; // some browsers tell of an end twice
    clearTimeout(this.#holding);
    // a page that has much to do hears of the end first, and of the time that has passed afterwards
    const rested = this.#most === 1 && !this.#moved && !this.#held && time - since >= HOLD_SECONDS * 1000;
    if (rested && !cancelled) this.#hold();
    if (cancelled || this.#moved || this.#held) this.#press(0);
    else if (this.#most === 1) this.#tap();
    else this.#click(this.#most === 2 ? RIGHT : MIDDLE);
  }

  // Nothing is touched, nothing held.
  reset() {
    clearTimeout(this.#holding);
    clearTimeout(this.#releasing);
    this.#fingers.clear();
    this.#press(0);
  }

  // A mouse, which some devices have as well, has moved the pointer to this place of the page.
  take(clientX, clientY) {
    const canvas = this.#connection.canvas;
    if (!canvas?.width) return;
    const box = canvas.getBoundingClientRect();
    this.#x = within(((clientX - box.left) * canvas.width) / box.width, canvas.width);
    this.#y = within(((clientY - box.top) * canvas.height) / box.height, canvas.height);
  }

  // Show where the pointer is; at first that is the middle.
  show() {
    const { rfb, canvas } = this.#connection;
    if (!rfb || !canvas?.width) return;
    this.#x = within(this.#x ?? canvas.width / 2, canvas.width);
    this.#y = within(this.#y ?? canvas.height / 2, canvas.height);
    rfb.showPointer(this.#x, this.#y);
  }

  #begin() {
    this.#again = this.#buttons !== 0;
    clearTimeout(this.#releasing);
    this.#most = 0;
    this.#moved = this.#held = false;
    this.#wheelX = this.#wheelY = 0;
    this.#holding = setTimeout(() => this.#hold(), HOLD_SECONDS * 1000);
  }

  #hold() {
    this.#held = true;
    if (!this.#again) this.#click(RIGHT);
  }

  #tap() {
    this.#press(0); // that of the tap before
    this.#press(LEFT);
    this.#releasing = setTimeout(() => this.#press(0), AGAIN_SECONDS * 1000);
  }

  #click(button) {
    this.#press(button);
    this.#press(0);
  }

  #press(buttons) {
    if (buttons === this.#buttons) return;
    this.#buttons = buttons;
    this.show();
    if (this.#x !== null) this.#connection.rfb?.point(this.#x, this.#y, buttons);
  }

  #moveBy(x, y, spent) {
    const { rfb, canvas } = this.#connection;
    this.show();
    if (!rfb || this.#x === null) return;
    const box = canvas.getBoundingClientRect();
    const factor = SLOW + (FAST - SLOW) * Math.min(1, Math.hypot(x, y) / spent / FAST_SPEED);
    this.#x = within(this.#x + (x * factor * canvas.width) / box.width, canvas.width);
    this.#y = within(this.#y + (y * factor * canvas.height) / box.height, canvas.height);
    this.#follow(box.left + (this.#x * box.width) / canvas.width, box.top + (this.#y * box.height) / canvas.height);
    rfb.point(this.#x, this.#y, this.#buttons);
  }

  // Of a picture that is larger than the page, the part with the pointer is shown.
  #follow(x, y) {
    const box = this.#stage.getBoundingClientRect();
    const beyond = (at, start, end) => Math.min(0, at - start - EDGE) + Math.max(0, at - end + EDGE);
    this.#stage.scrollBy(beyond(x, box.left, box.right), beyond(y, box.top, box.bottom));
  }

  #wheelBy(x, y) {
    this.show();
    this.#wheelX = this.#turn(this.#wheelX + x, WHEEL_LEFT, WHEEL_RIGHT);
    this.#wheelY = this.#turn(this.#wheelY + y, UP, DOWN);
  }

  // What is left of a way when all its steps were made; what is seen follows the fingers, as on the screen itself.
  #turn(way, before, behind) {
    const steps = Math.trunc(way / WHEEL_STEP);
    for (let step = 0; step < Math.abs(steps); step += 1) this.#click(steps > 0 ? before : behind);
    return way - steps * WHEEL_STEP;
  }
}

// `comeBack` gives the keyboard back to the desktop.
export function setUpTouchpad(connection, comeBack) {
  const button = by("touch");
  const stage = by("page");
  const screen = by("screen");
  const choices = [...document.querySelectorAll("#touch-dialog input[name=touch]")];
  const pad = new Touchpad(connection);
  const isOn = () => stage.classList.contains("touchpad");
  let chosen = remembered("touch") === "touchpad" ? "touchpad" : "direct";
  const apply = () => {
    // only on touch screens noVNC draws the pointer by itself; and guests who only look on move none
    button.hidden = !isTouchDevice || connection.viewOnly;
    for (const choice of choices) choice.checked = choice.value === chosen;
    if (isOn()) pad.reset();
    stage.classList.toggle("touchpad", chosen === "touchpad" && !button.hidden);
    if (isOn()) pad.show();
  };
  const takes = (name, work) => screen.addEventListener(name, (event) => {
    if (!isOn() || stage.classList.contains("hand")) return;
    event.stopPropagation(); // nothing of it is for noVNC
    event.preventDefault();
    work(event);
  }, { capture: true, passive: false });
  takes("touchstart", (event) => pad.down(event.changedTouches, event.timeStamp));
  takes("touchmove", (event) => pad.move(event.changedTouches, event.timeStamp));
  takes("touchend", (event) => {
    pad.up(event.changedTouches, event.timeStamp);
    comeBack();
  });
  takes("touchcancel", (event) => pad.up(event.changedTouches, event.timeStamp, true));
  screen.addEventListener("mousemove", (event) => pad.take(event.clientX, event.clientY), true); // noVNC lets none through
  for (const choice of choices) {
    choice.addEventListener("change", () => {
      remember("touch", choice.value);
      chosen = choice.value;
      apply();
    });
  }
  button.addEventListener("click", () => by("touch-dialog").showModal());
  by("hand").addEventListener("click", () => pad.reset());
  connection.addEventListener("phase", ({ detail }) => {
    pad.reset();
    if (detail.phase === "connected") apply(); // a guest's link may be another one now
  });
  const showAgain = () => isOn() && pad.show();
  connection.addEventListener("size", showAgain);
  stage.addEventListener("scroll", showAgain);
  const watcher = new ResizeObserver(showAgain);
  for (const element of [stage, screen]) watcher.observe(element);
  apply();
}
