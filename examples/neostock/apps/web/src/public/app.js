// What belongs to the person: signing in and out, the watchlist. Texts of others become text nodes,
// never markup.
"use strict";

const at = (id) => document.getElementById(id);

function say(text) {
  at("notice").textContent = text;
  at("notice").hidden = text === "";
}

// The answer's body, or an error with words for people.
async function call(path, body) {
  const answer = await fetch(path, {
    method: body === undefined ? "GET" : "POST",
    headers: body === undefined ? {} : { "content-type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const json = await answer.json().catch(() => null);
  if (!answer.ok) throw new Error(json?.error?.message ?? json?.message ?? `服务器回答 / the server answers ${answer.status}`);
  return json;
}

async function query(procedure) {
  return (await call(`/api/trpc/${procedure}`)).result.data;
}

async function mutate(procedure, input) {
  return (await call(`/api/trpc/${procedure}`, input ?? {})).result.data;
}

function element(name, text, attributes) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  for (const [key, value] of Object.entries(attributes ?? {})) made.setAttribute(key, value);
  return made;
}

function button(text, className, symbol, deed) {
  const made = element("button", text, { type: "button", class: className, "data-symbol": symbol });
  made.addEventListener("click", deed);
  return made;
}

// Does something for the person and says what went wrong.
async function attempt(deed) {
  say("");
  try {
    await deed();
  } catch (error) {
    say(error.message);
  }
}

const watch = (symbol) => attempt(async () => {
  await mutate("watchlist.add", { symbol });
  await showWatchlist();
});

function itemOf(item) {
  const made = element("li", "", { "data-symbol": item.symbol });
  made.append(element("span", item.symbol, { class: "symbol" }));
  made.append(element("span", `${item.name} ${item.price.toFixed(2)}`, { class: "name" }));
  const notes = element("ul", "", { class: "notes" });
  for (const note of item.notes) notes.append(element("li", note));
  made.append(notes);
  const form = element("form");
  form.append(element("input", "", { name: "note", "aria-label": "备注 / Note", maxlength: "200", required: "" }));
  form.append(element("button", "备注 / Note", { type: "submit" }));
  form.append(button("移除 / Remove", "remove", item.symbol, () => attempt(async () => {
    await mutate("watchlist.remove", { symbol: item.symbol });
    await showWatchlist();
  })));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(async () => {
      await mutate("watchlist.add", { symbol: item.symbol, note: form.elements.note.value });
      await showWatchlist();
    });
  });
  made.append(form);
  return made;
}

// How many times the list was asked for or emptied: an answer that came too late for that is not shown.
let turns = 0;

async function showWatchlist() {
  turns += 1;
  const turn = turns;
  const items = await query("watchlist.list");
  if (turn !== turns) return;
  at("items").replaceChildren(...items.map(itemOf));
  at("watchlist-empty").hidden = items.length > 0;
}

async function showQuotes() {
  const quotes = await query("quotes.list");
  at("quotes").replaceChildren(...quotes.map((quote) => {
    const row = element("tr", "", { "data-symbol": quote.symbol });
    const name = element("td");
    name.append(element("span", quote.symbol, { class: "symbol" }), element("span", quote.name, { class: "name" }));
    const deeds = element("td", "", { class: "deeds" });
    deeds.append(button("自选 / Watch", "watch", quote.symbol, () => watch(quote.symbol)));
    row.append(name, element("td", quote.price.toFixed(2), { class: "price" }), deeds);
    return row;
  }));
}

async function showPerson() {
  const session = await call("/api/auth/get-session");
  const isKnown = session !== null;
  at("email").textContent = session?.user.email ?? "";
  at("person").hidden = !isKnown;
  at("refresh").hidden = !isKnown;
  at("watchlist").hidden = !isKnown;
  at("account").hidden = isKnown;
  for (const one of document.querySelectorAll("button.watch")) one.hidden = !isKnown;
  if (isKnown) return showWatchlist();
  turns += 1;
  at("items").replaceChildren();
}

at("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.currentTarget;
  const verb = event.submitter?.value === "sign-up" ? "sign-up" : "sign-in";
  attempt(async () => {
    await call(`/api/auth/${verb}/email`, { email: form.elements.email.value, password: form.elements.password.value });
    form.reset();
    await showPerson();
  });
});

at("sign-out").addEventListener("click", () => attempt(async () => {
  await call("/api/auth/sign-out", {});
  await showPerson();
}));

at("refresh").addEventListener("click", () => attempt(async () => {
  await mutate("quotes.refresh");
  await showQuotes();
  await showWatchlist();
}));

for (const one of document.querySelectorAll("button.watch")) {
  one.addEventListener("click", () => watch(one.dataset.symbol));
}

attempt(showPerson);
