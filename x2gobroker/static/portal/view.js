// The page of a guest, who comes by a link. The secret is behind the # of the address, and goes to no log.
import { Connection, ask } from "./connection.js";
import { by, enable, knows, missing, offer, page, passing, said, setUpFullScreen, show, text } from "./cover.js";
import { setUpFocus } from "./focus.js";
import { setUpKeys } from "./keys.js";
import { setUpLeaving } from "./leaving.js";
import { setUpScaling } from "./scaling.js";
import { setUpTouchpad } from "./touchpad.js";

const secret = () => location.hash.slice(1);

async function askToken() {
  const ticket = await ask(page.dataset.token, "POST", { share: secret() });
  by("name").textContent = ticket.name;
  connection.viewOnly = !ticket.works;
  connection.canvasName = ticket.name;
  return ticket;
}

// When the link no longer counts, the next token is refused, and that says so.
async function look({ reason, refused }) {
  if (reason.includes("taken back")) return { text: "link_gone" };
  if (refused && passing(reason)) return { wait: said(reason) };
  if (refused && knows(reason)) return { words: said(reason), again: true };
  if (refused) return { text: "link_gone", more: said(reason), again: true };
  return reason.startsWith("this desktop was stopped") ? { text: "ended" } : null;
}

const connection = new Connection(by("screen"), askToken, look, true);

// What only those have who may work is shown to them; and the page, and its screen for those who see nothing, are called
// what they are.
function tellKind(canvas) {
  const works = !connection.viewOnly;
  document.title = `${text(works ? "working" : "looking")} · ${page.dataset.title}`;
  by("keys").hidden = !works;
  canvas.setAttribute("role", works ? "application" : "img");
  canvas.setAttribute("aria-label", text(works ? "screen" : "screen_view", { name: connection.canvasName }));
  if (!works) return;
  canvas.tabIndex = 0;
  if ([document.body, by("main")].includes(document.activeElement)) comeBack();
}

connection.addEventListener("phase", ({ detail }) => {
  enable(detail.phase === "connected");
  if (detail.phase !== "connected") by("touch-dialog").close();
  if (detail.phase === "connected") {
    offer();
    show("connected", text(connection.viewOnly ? "looking" : "working"), { cover: false });
    tellKind(connection.canvas);
  } else if (detail.phase === "waiting") {
    offer("again");
    const quiet = by("state").dataset.phase === "waiting";
    show("waiting", text(detail.text), { more: `${detail.why || text(`${detail.text}_more`)} ${text("again", { seconds: detail.seconds })}`.trim(), busy: true, quiet });
  } else if (detail.phase === "connecting" || detail.phase === "lost") {
    offer();
    show("connecting", text("connecting"), { busy: true });
  } else if (detail.phase === "ended") {
    offer(...(detail.again ? ["again"] : []));
    show("ended", detail.text ? text(detail.text) : detail.words || text("ended"), { more: detail.more || "" });
  }
});

function start() {
  const fault = missing() || (/^[0-9a-f]{1,100}$/.test(secret()) ? "" : "no_link");
  if (fault) show("ended", text(fault));
  else connection.connect();
}

by("again").addEventListener("click", () => connection.connect());
addEventListener("hashchange", start);
// its address would take the place of the secret
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  by("main").focus();
});
setUpFullScreen();
setUpScaling(connection);
const comeBack = setUpFocus(connection, setUpKeys(connection));
setUpTouchpad(connection, comeBack);
setUpLeaving();
start();
