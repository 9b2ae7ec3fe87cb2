// The clipboards of desktop and device: a box for everybody, and by itself where the browser lets us.
import { by, copy, speak, text } from "./cover.js";

async function mayRead() {
  try {
    return (await navigator.permissions.query({ name: "clipboard-read" })).state;
  } catch (error) {
    console.debug(error);
    return "unknown"; // this browser asks each time: too often to do it unasked
  }
}

export function setUpClipboard(connection) {
  const box = by("clipboard-text");
  const say = (words) => { by("clipboard-said").textContent = words; };
  let common = ""; // what both sides have

  const send = (words) => {
    if (!connection.rfb || words === common) return false;
    common = words;
    box.value = words;
    connection.rfb.clipboardPasteFrom(words);
    return true;
  };

  const readDevice = async () => send(await navigator.clipboard.readText());

  // when the user comes to the desktop, what was copied elsewhere is in it
  const take = async () => {
    if (!connection.rfb || !document.hasFocus() || (await mayRead()) !== "granted") return;
    try {
      await readDevice();
    } catch (error) {
      console.debug(error); // no text, or the window has just lost the focus
    }
  };
  addEventListener("focus", take);
  by("screen").addEventListener("pointerenter", take);

  connection.addEventListener("clipboard", async ({ detail }) => {
    if (detail.text === common) return;
    common = box.value = detail.text;
    if (by("clipboard-dialog").open) say(text("clipboard_new"));
    try {
      await navigator.clipboard.writeText(detail.text);
    } catch (error) {
      console.debug(error); // not allowed: it is in the box
    }
  });

  by("clipboard").addEventListener("click", async () => {
    say("");
    by("clipboard-dialog").showModal();
    box.select();
    by("clipboard-read").hidden = !navigator.clipboard?.readText || (await mayRead()) === "denied";
  });
  box.addEventListener("input", () => send(box.value) && say(text("clipboard_sent")));
  by("clipboard-copy").addEventListener("click", async () => say(await copy(box)));
  by("clipboard-read").addEventListener("click", async () => {
    try {
      await readDevice();
      say(text("clipboard_sent"));
    } catch (error) {
      console.debug(error);
      say(text("clipboard_denied"));
      speak(text("clipboard_denied"));
    }
  });
}
