// The dialog for files, and the list of what is on its way. No name ever becomes HTML.
import { Line, LostError, RefusedError } from "./channel.js";
import { RequestError, ask } from "./connection.js";
import { by, page, passing, said, speak, text } from "./cover.js";
import { Download, Lane, Upload, listFolder } from "./transfer.js";

const FRESH_SECONDS = 0.5; // after which a folder into which something has come is listed again
const UNITS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
const language = document.documentElement.lang || undefined;

function sizeText(bytes) {
  const step = Math.min(UNITS.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  const style = { style: "unit", unit: UNITS[step], maximumFractionDigits: step ? 1 : 0 };
  return new Intl.NumberFormat(language, style).format(bytes / 1024 ** step);
}

const dateText = (seconds) => new Date(seconds * 1000).toLocaleString(language, { dateStyle: "medium", timeStyle: "short" });

// What to say of something that did not work.
function errorText(error) {
  if (error instanceof RefusedError) return whyText(error.why);
  if (error.told) return said(error.told);
  if (error instanceof RequestError && error.status) return error.message || text("failed_request");
  return text("files_lost");
}

const whyText = (why) => text(`files_${why.replaceAll("-", "_")}`);

function make(kind, className = "", words = "") {
  const made = document.createElement(kind);
  if (className) made.className = className;
  made.textContent = words;
  return made;
}

function button(words, work, className = "button") {
  const made = make("button", className, words);
  made.type = "button";
  made.addEventListener("click", work);
  return made;
}

// --- what is on its way

class Transfers {
  #all = new Set();

  constructor() {
    by("transfers-clear").addEventListener("click", () => this.#clear());
    addEventListener("beforeunload", (event) => {
      if ([...this.#all].some((transfer) => !transfer.over)) event.preventDefault();
    });
    by("files-dialog").addEventListener("close", () => by("transfers-place").append(by("transfers")));
  }

  add(transfer, lane, done) {
    const row = make("li", "transfer");
    const name = make("span", "transfer-name", transfer.name);
    const bar = document.createElement("progress");
    bar.max = Math.max(1, transfer.size);
    bar.setAttribute("aria-label", text(transfer.way === "up" ? "files_uploading" : "files_downloading", { name: transfer.name }));
    const state = make("span", "transfer-state");
    const cancel = button(text("files_cancel"), () => transfer.cancel(), "button small");
    const again = button(text("files_again"), () => { transfer.reset(); lane.add(transfer); }, "button small");
    cancel.setAttribute("aria-label", `${text("files_cancel")}: ${transfer.name}`);
    again.setAttribute("aria-label", `${text("files_again")}: ${transfer.name}`);
    row.append(name, bar, state, cancel, again);
    by("transfers-list").append(row);
    this.#all.add(transfer);
    let before = "";
    const show = () => {
      bar.max = Math.max(1, transfer.size);
      bar.value = transfer.state === "done" ? bar.max : transfer.at;
      bar.hidden = transfer.over;
      state.textContent = stateText(transfer);
      row.dataset.state = transfer.state;
      cancel.hidden = transfer.over || transfer.state === "finishing";
      again.hidden = transfer.state !== "failed";
      if (before !== transfer.state) {
        before = transfer.state;
        if (transfer.over) speak(`${transfer.name}: ${state.textContent}`);
        if (transfer.state === "done") done();
        this.#count();
      }
    };
    transfer.addEventListener("change", show);
    show();
    lane.add(transfer);
  }

  #count() {
    const open = [...this.#all].filter((transfer) => !transfer.over).length;
    by("transfers").hidden = !this.#all.size;
    by("transfers-clear").hidden = open === this.#all.size;
    by("files").classList.toggle("on", open > 0);
  }

  #clear() {
    [...this.#all].forEach((transfer, index) => {
      if (!transfer.over) return;
      this.#all.delete(transfer);
      by("transfers-list").children[index].dataset.gone = "";
    });
    for (const row of by("transfers-list").querySelectorAll("[data-gone]")) row.remove();
    this.#count();
  }
}

function stateText(transfer) {
  const { state, at, size } = transfer;
  if (state === "done") {
    const other = transfer.saved && transfer.saved !== transfer.name;
    return other ? text("files_done_as", { name: transfer.saved }) : text("files_done");
  }
  if (state === "failed") return transfer.why ? whyText(transfer.why) : said(transfer.told);
  if (state === "lost") return transfer.told ? said(transfer.told) : text("files_lost_again");
  if (state === "running") return text("files_of", { at: sizeText(at), size: sizeText(size) });
  return text(`files_${state}`);
}

// --- the dialog

export function setUpFiles(connection) {
  const policy = page.dataset.files;
  if (policy === "none") {
    refuseDrops();
    return;
  }
  const takesIn = policy !== "out";
  const givesOut = policy !== "in";
  const most = Number(page.dataset.filesBytes);
  const ticket = () => ask(page.dataset.token, "POST");
  const line = new Line(ticket);
  const up = new Lane(ticket, passing);
  const down = new Lane(ticket, passing);
  const transfers = new Transfers();
  const say = (words) => { by("files-said").textContent = words; };
  let way = []; // the folders that lead to the one that is shown: {item, name}
  let asked = 0; // the number of the last question; answers to earlier ones no longer count
  let answered = Promise.resolve(); // the question before
  let fresh = null;

  const path = () => way.map(({ item }) => item).join("/");

  const look = async () => {
    const number = ++asked;
    by("files-rows").setAttribute("aria-busy", "true");
    // one question at a time: an answer does not say which folder it is about
    const before = answered;
    let over;
    answered = new Promise((resolve) => { over = resolve; });
    await before;
    try {
      if (number !== asked) return;
      const found = await listFolder(await line.channel(), path(), by("files-hidden").checked);
      if (number === asked) show(found);
    } catch (error) {
      if (!(error instanceof LostError || error instanceof RefusedError || error instanceof RequestError)) throw error;
      if (number !== asked) return;
      by("files-rows").replaceChildren();
      say(errorText(error));
    } finally {
      over();
      if (number === asked) by("files-rows").removeAttribute("aria-busy");
    }
  };

  const show = ({ entries, more, skipped, free }) => {
    const order = new Intl.Collator(language, { numeric: true });
    entries.sort((one, other) => other.folder - one.folder || order.compare(one.name, other.name));
    by("files-rows").replaceChildren(...entries.map(rowOf));
    const words = [];
    if (!entries.length) words.push(text("files_empty"));
    if (more) words.push(text("files_more", { number: entries.length }));
    if (skipped) words.push(text("files_skipped", { number: skipped }));
    if (takesIn) words.push(text("files_free", { size: sizeText(free) }));
    say(words.join(" "));
  };

  const rowOf = (entry) => {
    const row = make("tr");
    const name = make("td");
    if (entry.folder) {
      const open = button(entry.name, () => go([...way, entry]), "link entry folder");
      open.setAttribute("aria-label", text("files_open", { name: entry.name }));
      name.append(open);
    } else if (givesOut && entry.size <= most) {
      const get = button(entry.name, () => fetchFile(entry), "link entry");
      get.setAttribute("aria-label", text("files_download", { name: entry.name }));
      name.append(get);
    } else {
      name.append(make("span", "entry", entry.name));
    }
    row.append(name, make("td", "number", entry.folder ? "" : sizeText(entry.size)), make("td", "muted", dateText(entry.modified)));
    return row;
  };

  const go = (folders) => {
    way = folders;
    const places = [{ name: text("files_home") }, ...way];
    by("files-way").replaceChildren(...places.map(({ name }, depth) => {
      const step = make("li");
      const here = depth === way.length;
      step.append(here ? make("span", "", name) : button(name, () => go(way.slice(0, depth)), "link"));
      if (here) step.firstChild.setAttribute("aria-current", "location");
      return step;
    }));
    by("files-rows").replaceChildren();
    say("");
    look();
  };

  const fetchFile = (entry) => transfers.add(new Download(path(), entry), down, () => {});

  const sendFiles = (files) => {
    const folder = path();
    for (const file of files) {
      const upload = new Upload(folder, file);
      if (file.size > most) upload.set("failed", { why: "too-large" });
      transfers.add(upload, up, () => {
        clearTimeout(fresh);
        fresh = setTimeout(() => by("files-dialog").open && path() === folder && look(), FRESH_SECONDS * 1000);
      });
    }
  };

  by("files").addEventListener("click", () => {
    by("files-transfers").append(by("transfers")); // what is behind an open dialog cannot be used
    by("files-dialog").showModal();
    go(way);
  });
  by("files-refresh").addEventListener("click", look);
  by("files-hidden").addEventListener("change", look);
  if (takesIn) {
    by("files-choose").addEventListener("click", () => by("files-chosen").click());
    by("files-chosen").addEventListener("change", () => {
      sendFiles([...by("files-chosen").files]);
      by("files-chosen").value = "";
    });
  }
  setUpDrops((drop) => {
    if (!takesIn) return [text("files_not_in")];
    if (connection.phase !== "connected") return [text("files_not_now")];
    sendFiles(drop.files);
    return drop.folders ? [text("files_no_folders")] : [];
  }, (words) => {
    say(words);
    speak(words);
    by("drop-said").textContent = words;
    by("drop-said").hidden = !words;
    if (words) setTimeout(() => { by("drop-said").hidden = true; }, 8000);
  });
}

// --- drag and drop

const hasFiles = (event) => event.dataTransfer?.types.includes("Files");

// A file that falls beside the place for it would take the place of the desktop's page.
function refuseDrops() {
  for (const name of ["dragover", "drop"]) {
    addEventListener(name, (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      event.dataTransfer.dropEffect = "none";
    });
  }
}

function setUpDrops(take, tell) {
  let leaving = null;
  const shade = (on) => { by("drop-here").hidden = !on; };
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    shade(true);
    clearTimeout(leaving); // dragleave comes for each element on the way
    leaving = setTimeout(shade, 400, false);
  });
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    shade(false);
    const folders = [...event.dataTransfer.items].filter((item) => item.webkitGetAsEntry?.()?.isDirectory).length;
    const files = [...event.dataTransfer.items]
      .filter((item) => item.kind === "file" && !item.webkitGetAsEntry?.()?.isDirectory)
      .map((item) => item.getAsFile()).filter(Boolean);
    tell(take({ files, folders }).join(" "));
  });
}
