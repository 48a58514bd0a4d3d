// Files to and from the person's disk.

/** Offers a text as a file to save. */
export function saveFile(name, text, type = "text/plain") {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Asks for a file. @returns {Promise<File | null>} */
export function pickFile(accept) {
  const field = document.createElement("input");
  field.type = "file";
  field.accept = accept;
  return new Promise((done) => {
    field.onchange = () => done(field.files?.[0] ?? null);
    field.oncancel = () => done(null);
    field.click();
  });
}
