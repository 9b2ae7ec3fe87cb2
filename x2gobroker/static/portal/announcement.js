// The administrator's notice, in a bar over the desktop: it can be closed, and the keyboard stays where it is.
import { remember, remembered } from "./remember.js";

// `comeBack` gives the keyboard back to the desktop. Gives a function that shows a notice; an empty one is none.
export function setUpAnnouncement(comeBack) {
  const bar = document.getElementById("announcement");
  const close = document.getElementById("announcement-close");
  let shown = "";
  const tell = (text) => {
    if (text === shown) return;
    shown = text;
    document.getElementById("announcement-text").textContent = text;
    bar.hidden = !text || remembered("announcement") === text;
  };
  close.addEventListener("mousedown", (event) => event.preventDefault());
  close.addEventListener("click", () => {
    const had = document.activeElement === close; // only of those who came to it by Tab
    remember("announcement", shown);
    bar.hidden = true;
    if (had) comeBack();
  });
  tell(bar.dataset.text);
  return tell;
}
