// Opens the dialog "View as someone else" and stays in the section one is in.
import { dialog } from "../model/choice.js";

export function viewAsHere() {
  dialog.value = { kind: "identity", stay: true };
}
