// Starts the page: takes the token, takes up what was open, and draws.
import { effect, html, render } from "./vendor/preact.js";
import { readAddress, startAddress } from "./model/address.js";
import { tab } from "./model/choice.js";
import { now, startClock } from "./model/clock.js";
import { startFeed } from "./model/feed.js";
import { endExpired, identities, recallIdentities } from "./model/identities.js";
import { comparing, looking } from "./model/lens.js";
import { loadConfig, takeToken } from "./model/session.js";
import { beat, resetVitals } from "./model/vitals.js";
import { LOADS } from "./ui/dialogs.js";
import { startKeys } from "./ui/keys.js";
import { fetchAhead } from "./ui/lazy.js";
import { loadBar } from "./ui/lens.js";
import { loadDetail, Shell } from "./ui/shell.js";
import { TABS } from "./ui/tabs.js";

effect(() => {
  tab.value = comparing.value ? "verdicts" : "diff";
});
takeToken();
readAddress();
startClock();
startFeed();
startAddress();
startKeys();
recallIdentities();
loadConfig();
effect(() => {
  looking.value;
  resetVitals();
});
effect(() => {
  const at = now.value;
  endExpired();
  const watched = identities.peek().filter((one) => looking.peek().includes(one.id));
  beat(at, watched.length > 0 && !watched.some((one) => one.news?.state === "open"));
});
// A link opened in this tab brings its own token or search.
addEventListener("hashchange", () => {
  takeToken();
  readAddress();
  loadConfig();
});
render(html`<${Shell} />`, document.getElementById("app") ?? document.body);
// A detail or a dialog then opens at once, and also when the server has gone.
fetchAhead([loadDetail, ...LOADS, loadBar, ...TABS.map((tab) => tab.load)]);
