// The dialog for links by which guests come.
import { ask } from "./connection.js";
import { by, copy, page, text } from "./cover.js";

export function setUpShare() {
  const say = (words) => { by("share-said").textContent = words; };
  const show = (link) => {
    by("share-link").value = link;
    by("share-link-field").hidden = by("share-copy").hidden = !link;
  };
  let count = 0;
  let working = 0;
  // `number` of links, and of them those by which guests may work: that is over the screen, too, where there is no bar
  const tell = (number, work = 0) => {
    count = number;
    working = work;
    const words = number ? text("shared_some", { number }) : text("shared_none");
    by("share-count").textContent = work ? `${words} ${text("shared_work", { number: work })}` : words;
    by("share").title = work ? text("shared_work", { number: work }) : by("share").dataset.title;
    by("share").classList.toggle("work", work > 0);
    const warning = work ? text("guests_work") : "";
    if (by("guests").textContent !== warning) by("guests").textContent = warning; // it is read out when it changes
    by("share-end").hidden = !number;
    by("share").classList.toggle("on", number > 0);
    if (!number) show("");
  };
  const doing = async (work) => {
    try {
      await work();
    } catch (error) {
      say(error.message && error.status ? error.message : text("failed_request"));
    }
  };
  by("share").addEventListener("click", () => {
    say("");
    by("share-dialog").showModal();
  });
  by("share-make").addEventListener("click", () => doing(async () => {
    const work = by("share-work").checked;
    const { link } = await ask(page.dataset.share, "POST", { hours: Number(by("share-hours").value), work });
    tell(count + 1, working + Number(work));
    show(new URL(link, location.href).href);
    say(await copy(by("share-link")));
  }));
  by("share-copy").addEventListener("click", async () => say(await copy(by("share-link"))));
  by("share-end").addEventListener("click", () => doing(async () => {
    await ask(page.dataset.unshare, "POST");
    tell(0);
    say(text("taken_back"));
    by("share-make").focus();
  }));
  tell(0);
  return { tell };
}
