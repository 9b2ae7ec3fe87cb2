import { remember, remembered } from "./remember.js";
import "./window.js";

// Small helps for the portal's other pages; without them all works, too. What they are for is said in attributes:
//   <form data-once>: sent once only, whatever is clicked again; its buttons say `data-busy` meanwhile.
//   <input type="search" data-filter="ID">: shows what has the words, of the children of the element with that ID;
//     `data-none="ID"`: what is shown when nothing has them. It is hidden in the page, as it does nothing without this.
//   <… data-refresh="SECONDS">: the page is loaded again so often, while it can be seen and nothing is chosen in it.
//   <select data-remember="NAME">: has what was chosen the last time.
//   <… data-load="URL">: what is at that address takes the place of what is in it; `data-failed` is shown if that fails.
//   <… data-copy="ID">: copies the text of that element; `data-copied` is what the button says then.

function sendOnce(form) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "1";
    const button = event.submitter;
    if (!button) return;
    button.setAttribute("aria-disabled", "true");
    if (button.dataset.busy) button.textContent = button.dataset.busy;
  });
}
document.querySelectorAll("form[data-once]").forEach(sendOnce);
// when the user comes back by the browser's button, the forms can be sent again
addEventListener("pageshow", (event) => event.persisted && location.reload());

for (const box of document.querySelectorAll("input[data-filter]")) {
  const list = document.getElementById(box.dataset.filter);
  const none = document.getElementById(box.dataset.none || "");
  const filter = () => {
    const words = box.value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const item of list.children) {
      const content = item.textContent.toLocaleLowerCase();
      item.hidden = !words.every((word) => content.includes(word));
      shown += item.hidden ? 0 : 1;
    }
    if (none) none.hidden = shown > 0;
  };
  box.addEventListener("input", filter);
  box.hidden = false;
  box.closest(".field")?.removeAttribute("hidden");
  filter();
}

for (const choice of document.querySelectorAll("select[data-remember]")) {
  const kept = remembered(choice.dataset.remember);
  if ([...choice.options].some((option) => option.value === kept)) choice.value = kept;
  choice.form.addEventListener("submit", () => remember(choice.dataset.remember, choice.value));
}

const refreshing = document.querySelector("[data-refresh]");
if (refreshing) {
  let touched = 0;
  for (const name of ["input", "change", "keydown", "pointerdown"]) {
    addEventListener(name, () => { touched = Date.now(); });
  }
  const seconds = Number(refreshing.dataset.refresh);
  setInterval(() => {
    const busy = Date.now() - touched < seconds * 1000 || document.querySelector("dialog[open], details[open], form[data-sent]");
    if (!document.hidden && !busy) location.reload();
  }, seconds * 1000);
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const from = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(from.value ?? from.textContent);
      button.textContent = button.dataset.copied || button.textContent;
    } catch (error) {
      console.debug(error);
      getSelection().selectAllChildren(from); // for the user to copy
    }
  });
  button.hidden = false;
}

for (const place of document.querySelectorAll("[data-load]")) {
  try {
    const answer = await fetch(place.dataset.load, { credentials: "same-origin", cache: "no-store" });
    if (!answer.ok || answer.redirected) throw new Error(`status ${answer.status}`);
    const part = new DOMParser().parseFromString(await answer.text(), "text/html");
    place.replaceChildren(...part.body.childNodes);
    place.querySelectorAll("form[data-once]").forEach(sendOnce);
  } catch (error) {
    console.debug(error);
    place.querySelector("[role=status]").hidden = true;
    place.querySelector("[data-failed]").hidden = false;
  }
  place.removeAttribute("aria-busy");
}
