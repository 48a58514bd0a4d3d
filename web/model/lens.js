// Who looks: the identity whose view is shown, or several next to each other.
import { computed, signal } from "../vendor/preact.js";

/** Id of the identity whose view is shown, "" for nobody. */
export const viewed = signal("");
/** Ids compared, in lane order; fewer than two means that nothing is compared. */
export const compared = signal(/** @type {string[]} */ ([]));
export const comparing = computed(() => compared.value.length > 1);
/** Ids of everyone whose receipts are shown. */
export const looking = computed(() => (comparing.value ? compared.value : viewed.value ? [viewed.value] : []));
/** Only rows about which the compared identities do not agree. */
export const onlyDifferences = signal(false);
/** What the search knows each identity by: its names, role and subject, a line each. @type {Map<string, string>} */
export const labels = new Map();
