"""What Firefox does for a test that no command of Marionette makes it do: scripts with the browser's own rights.

The last argument of each is called with what it gives.
"""

from __future__ import annotations

# a composition as an input method makes one: what the user sees first, and what is written in the end
COMPOSE = """
const [steps, done] = [arguments[0], arguments[arguments.length - 1]];
const browser = gBrowser.selectedBrowser;
browser.focus();
const processor = Cc["@mozilla.org/text-input-processor;1"].createInstance(Ci.nsITextInputProcessor);
processor.beginInputTransactionForTests(window);
for (const text of steps) {
  for (let end = 1; end <= text.length; end++) {
    processor.setPendingCompositionString(text.slice(0, end));
    processor.appendClauseToPendingComposition(end, processor.ATTR_RAW_CLAUSE);
    processor.setCaretInPendingComposition(end);
    processor.flushPendingComposition();
  }
  processor.commitComposition();
}
setTimeout(() => done(true), 200);
"""
# the browser's own simulation of a phone ("responsive design mode"): arguments are width and height
PHONE = """
const [width, height, done] = arguments;
(async () => {
  const { require } = ChromeUtils.importESModule("resource://devtools/shared/loader/Loader.sys.mjs");
  const manager = require("devtools/client/responsive/manager");
  const phone = await manager.openIfNeeded(window, gBrowser.selectedTab, { trigger: "test" });
  await phone.setViewportSize({ width, height });
  await phone.updateTouchSimulation(true);
  await phone.updateMaxTouchPointsEnabled(true);
  const upright = width < height;
  await phone.updateScreenOrientation(upright ? "portrait-primary" : "landscape-primary", upright ? 0 : 90);
  return "";
})().then(done, (error) => done(`${error}`));
"""
# the user's answer to the next dialogs for files, which are not shown: argument is the list of paths
CHOOSE_FILES = """
const [paths, done] = arguments;
const fileAt = (path) => {
  const file = Cc["@mozilla.org/file/local;1"].createInstance(Ci.nsIFile);
  file.initWithPath(path);
  return file;
};
class Picker {
  QueryInterface = ChromeUtils.generateQI(["nsIFilePicker"]);
  init() {}
  appendFilter() {}
  appendFilters() {}
  appendRawFilter() {}
  get file() { return fileAt(paths[0]); }
  get files() {
    const files = Cc["@mozilla.org/array;1"].createInstance(Ci.nsIMutableArray);
    paths.forEach((path) => files.appendElement(fileAt(path)));
    return files.enumerate();
  }
  open(callback) { setTimeout(() => callback.done(Ci.nsIFilePicker.returnOK)); }
}
const factory = {
  QueryInterface: ChromeUtils.generateQI(["nsIFactory"]),
  createInstance: (wanted) => new Picker().QueryInterface(wanted),
};
const registrar = Components.manager.QueryInterface(Ci.nsIComponentRegistrar);
registrar.registerFactory(Services.uuid.generateUUID(), "", "@mozilla.org/filepicker;1", factory);
done("");
"""
