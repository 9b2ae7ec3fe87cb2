// What the pages of desktops have in common: texts, the cover over the screen, the bar, full screen.
export const by = (id) => document.getElementById(id);
export const page = by("page");
const texts = JSON.parse(page.dataset.texts);

// A text of the page, with {values} put in.
export function text(name, values = {}) {
  return (texts[name] ?? name).replace(/\{(\w+)\}/g, (all, key) => (key in values ? values[key] : all));
}

// Whether the portal has words for what the service has said.
export const knows = (words) => Object.hasOwn(texts, words);

// What the service has said, for the user. The portal knows all that is meant for users; the rest is for the log.
// A script of the site may have words of its own for its users.
export function said(words) {
  if (words.startsWith("said: ")) return words.slice("said: ".length);
  return knows(words) ? texts[words] : texts.other;
}

// Whether what the service has said may be over in a moment.
export const passing = (words) => JSON.parse(page.dataset.passing).includes(words);

// Say something to those who hear the page.
export function speak(words) {
  if (by("spoken").textContent !== words) by("spoken").textContent = words;
}

// Show what is going on: `words` in the bar, and over the screen while it is not to be used.
export function show(phase, words, { more = "", cover = true, busy = false, quiet = false } = {}) {
  by("state").dataset.phase = phase;
  by("state").textContent = words;
  by("cover").hidden = !cover;
  by("spinner").hidden = !busy;
  by("cover-text").textContent = words;
  by("cover-more").textContent = more;
  if (!quiet) speak(`${words} ${more}`.trim());
}

// Show these buttons of the cover, and no others.
export function offer(...ids) {
  for (const id of ["again", "restart", "sign-in", "leave"]) {
    const button = by(id);
    if (button) button.hidden = !ids.includes(id);
  }
}

// The tools can be used, or not.
export function enable(on) {
  for (const tool of document.querySelectorAll(".tools button, .tools select")) tool.disabled = !on;
}

// What must be there for a desktop; the name of the text that says so when it is not.
export function missing() {
  return isSecureContext ? "" : "not_secure";
}

function showBar(shown) {
  document.body.classList.toggle("no-bar", !shown);
  by("show-bar").setAttribute("aria-expanded", String(shown));
}

// Full screen: the bar goes away, and a handle for it stays.
export function setUpFullScreen() {
  const button = by("full");
  button.hidden = !document.fullscreenEnabled;
  button.addEventListener("click", async () => {
    try {
      if (document.fullscreenElement) await document.exitFullscreen();
      else await document.documentElement.requestFullscreen();
    } catch (error) {
      console.debug(error);
      speak(text("failed_request"));
    }
  });
  by("show-bar").addEventListener("click", () => showBar(document.body.classList.contains("no-bar")));
  document.addEventListener("fullscreenchange", () => {
    const full = document.fullscreenElement !== null;
    button.setAttribute("aria-pressed", String(full));
    by("show-bar").hidden = !full;
    showBar(!full);
    // where the browser can, keys such as Alt+Tab and Escape go to the desktop; Escape held long leaves full screen
    if (full) navigator.keyboard?.lock?.().catch(console.debug);
    else navigator.keyboard?.unlock?.();
  });
}

// Copy to the device's clipboard, or mark it for the user to copy. `field` has the text. Returns what to say.
export async function copy(field) {
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
    return text("copied");
  } catch (error) {
    console.debug(error);
    return text("not_copied");
  }
}
