export function show(element: HTMLElement, name: string): void {
  // ruleid: html-from-text
  element.innerHTML = `<b>${name}</b>`;
  // ruleid: html-from-text
  element.insertAdjacentHTML("beforeend", name);
  // ruleid: html-from-text
  document.write(name);
  // ok: html-from-text
  element.textContent = name;
  // ok: html-from-text
  element.innerHTML = "";
}

export function Note({ text }: { text: string }) {
  // ruleid: html-from-text
  return <p dangerouslySetInnerHTML={{ __html: text }} />;
}

export function Plain({ text }: { text: string }) {
  // ok: html-from-text
  return <p>{text}</p>;
}
