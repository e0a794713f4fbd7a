"use strict";
// What pages do beyond text: load data from scripts beside them (a page opened from disk cannot
// fetch), filter, enlarge pictures. Names from the data become text, never HTML.
const pose2id = (() => {
  const data = {};
  const waiting = {};
  const base = document.body ? document.body.dataset.base : "";
  const load = (kind, number, path) => {
    const key = `${kind} ${number}`;
    waiting[key] ||= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = base + path;
      script.onload = () => resolve(data[key]);
      script.onerror = () => reject(new Error(path));
      document.head.append(script);
    });
    return waiting[key];
  };
  return { add: (kind, number, value) => { data[`${kind} ${number}`] = value; }, load, base };
})();

const make = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
};
const missing = "–";
const percent = (value) => (value === null ? missing : (100 * value).toFixed(1));
const signed = (value) => (value === null ? missing
  : `${value > 0 ? "▲ +" : value < 0 ? "▼ −" : "= "}${Math.abs(100 * value).toFixed(1)}`);
const thumbnail = (name, alt) => (name === null
  ? make("div", { class: "gone", role: "img", "aria-label": alt }, "no picture in this report")
  : make("img", { src: `${pose2id.base}assets/${name}`, alt, loading: "lazy" }));

// A picture, large, with what was drawn of it or stands beside it.
const enlarge = (picture, caption, beside, heading) => {
  const close = make("button", { type: "button" }, "Close");
  const large = make("img", { src: picture, alt: caption, class: "large" });
  const strip = make("div", { class: "strip" }, ...beside);
  const dialog = make("dialog", { "aria-label": caption },
    make("p", { class: "head" }, make("b", {}, caption), close),
    make("div", { class: "beside" }, large, make("div", {}, make("p", {}, heading), strip)));
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
};
document.addEventListener("click", (event) => {
  const button = event.target.closest("button.zoom");
  if (!button) return;
  if (button.beside) return button.beside();
  const others = button.closest(".strip");
  const cards = others ? [...others.children].filter((card) => !card.contains(button)) : [];
  const copies = cards.map((card) => {
    const copy = card.cloneNode(true);
    copy.querySelectorAll("button").forEach((inner) => inner.replaceWith(...inner.childNodes));
    return copy;
  });
  enlarge(button.querySelector("img").src, button.dataset.caption, copies,
    copies.length ? "Of the same person:" : "");
});

// The drawings: a filter by name, camera and reason.
const filter = () => {
  const people = [...document.querySelectorAll("[data-person]")];
  const tools = document.querySelector("#filter");
  if (!tools || !people.length) return;
  tools.hidden = false;
  const [text, camera, reason, shown] = ["text", "camera", "reason", "shown"].map((name) =>
    tools.querySelector(`[name=${name}]`));
  const apply = () => {
    const words = text.value.trim().toLowerCase();
    let n = 0;
    for (const item of people) {
      const reasons = JSON.parse(item.dataset.reasons);
      const fits = item.dataset.text.toLowerCase().includes(words)
        && (!camera.value || item.dataset.camera === camera.value)
        && (!reason.value || (reason.value === "any" ? reasons.length > 0
          : reasons.includes(reason.value.slice(2))));
      item.hidden = !fits;
      n += fits;
    }
    shown.value = `${n} of ${people.length} shown`;
  };
  tools.addEventListener("submit", (event) => event.preventDefault());
  tools.addEventListener("input", apply);
  tools.addEventListener("reset", () => setTimeout(apply));
  apply();
};

// Runs and studies: what is noted beside the report, where it is.
const local = async (page) => {
  try {
    const html = await pose2id.load("local", page, `local/${page}.js`);
    document.querySelector("#local").innerHTML = html; // rendered and escaped like the pages
  } catch { /* a copy of the report: the page says why nothing is here */ }
};

// The map of features: any variant, whose each point is, one person alone.
const mapOfFeatures = async (root) => {
  const { variants, images, side } = await pose2id.load("map", 0, "assets/map.js");
  const svg = (tag, attributes = {}) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };
  const shapes = ["M-9 0a9 9 0 1 0 18 0a9 9 0 1 0-18 0", "M-8-8h16v16h-16z", "M0-11L11 9H-11z",
    "M0-12L12 0L0 12L-12 0z", "M-4-11h8v7h7v8h-7v7h-8v-7h-7v-8h7z"];
  const persons = [...new Set(images.map(([, person]) => person))].sort((a, b) => a - b);
  const place = new Map(persons.map((person, number) => [person, number]));
  const mark = (person, attributes = {}) => svg("path", { class: `mark-${place.get(person) % 10}`,
    d: shapes[Math.floor(place.get(person) / 10) % shapes.length], ...attributes });
  const form = root.querySelector("form");
  const said = form.elements.shown;
  const field = svg("svg", { viewBox: `-20 -20 ${side + 40} ${side + 40}`, role: "img" });
  const points = images.map(([, person], number) => mark(person, { "data-number": number }));
  field.append(...points);
  root.querySelector(".field").append(field);
  let chosen = null;
  const light = (person) => {
    field.classList.toggle("chosen", person !== null);
    points.forEach((point, number) => point.classList.toggle("on", images[number][1] === person));
  };
  const tell = (number) => {
    const [id, person, camera] = images[number];
    said.value = `person ${person}${camera === null ? "" : `, camera ${camera}`}, ${id}`;
  };
  const still = () => { said.value = `${images.length} images of ${persons.length} persons`; light(chosen); };
  const buttons = persons.map((person) => {
    const button = make("button", { type: "button", "aria-pressed": "false" });
    const sign = svg("svg", { viewBox: "-13 -13 26 26", "aria-hidden": "true" });
    sign.append(mark(person));
    button.append(sign, String(person));
    button.addEventListener("click", () => {
      chosen = chosen === person ? null : person;
      buttons.forEach((other, number) =>
        other.setAttribute("aria-pressed", String(persons[number] === chosen)));
      still();
    });
    return button;
  });
  root.querySelector(".persons").append(...buttons.map((button) => make("li", {}, button)));
  field.addEventListener("pointerover", (event) => {
    const number = event.target.dataset.number;
    if (number === undefined) return;
    tell(number);
    light(images[number][1]);
  });
  field.addEventListener("pointerout", still);
  field.addEventListener("click", (event) => {
    const number = event.target.dataset.number;
    if (number !== undefined) location.href = `queries.html#person=${images[number][1]}`;
  });
  form.elements.variant.append(...Object.keys(variants).map((name) =>
    make("option", { value: name }, name)));
  if (root.dataset.variant in variants) form.elements.variant.value = root.dataset.variant;
  const draw = () => {
    const name = form.elements.variant.value;
    field.setAttribute("aria-label", `The features of ${name} by their first two principal components`);
    points.forEach((point, number) => point.setAttribute("transform",
      `translate(${variants[name][2 * number]} ${variants[name][2 * number + 1]})`));
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", draw);
  draw();
  still();
  root.hidden = false;
  document.querySelector("#still-map").hidden = true;
};

// All queries: sorted, filtered, two variants side by side. The address says what is shown.
const explore = async (root) => {
  const settings = JSON.parse(root.dataset.settings);
  const { variants, perChunk } = settings;
  const verdicts = [["wrong", "✕", "wrong"], ["right", "✓", "right"],
    ["junk", "○", "junk, not counted"], ["unknown", "", "not labelled"]];
  const rowsPerPage = 50;
  const form = root.querySelector("#choice");
  const article = root.querySelector("#query");
  const table = root.querySelector("#queries");
  const parts = await Promise.all([...Array(settings.lists).keys()].map((number) =>
    pose2id.load("list", number, `queries/list-${number}.js`)));
  const all = {};
  for (const name of ["id", "person", "camera", "ap", "first"]) {
    all[name] = parts.flatMap((part) => part[name]);
  }
  const numberOf = new Map(all.id.map((id, number) => [id, number]));
  const cameras = [...new Set(all.camera)].filter((c) => c !== null).sort((a, b) => a - b);
  const option = (value) => make("option", { value }, String(value));
  form.elements.a.append(...variants.map(option));
  form.elements.b.append(...variants.map(option));
  form.elements.camera.append(...cameras.map(option));

  const read = () => new URLSearchParams(location.hash.slice(1));
  const href = (changes) => {
    const state = read();
    for (const [name, value] of Object.entries(changes)) {
      if (value === "" || value === null) state.delete(name); else state.set(name, value);
    }
    return `#${state}`;
  };
  const known = (value, fallback) => (variants.includes(value) ? value : fallback);
  const chosen = () => {
    const state = read();
    const a = known(state.get("a"), settings.before);
    const b = known(state.get("b"), settings.after);
    const get = (name) => state.get(name) ?? "";
    return { a, b, i: variants.indexOf(a), j: variants.indexOf(b), q: get("q"),
      sort: get("sort") || "gain", up: get("up"), show: get("show"), camera: get("camera"),
      person: get("person").trim(), text: get("text"), page: Math.max(1, Number(get("page")) || 1) };
  };
  const gain = (n, { i, j }) => (all.ap[n][i] === null || all.ap[n][j] === null ? null
    : all.ap[n][j] - all.ap[n][i]);
  const shows = {
    "": () => true,
    gained: (n, c) => gain(n, c) > 0,
    lost: (n, c) => gain(n, c) !== null && gain(n, c) < 0,
    righted: (n, c) => all.first[n][c.j] === 1 && all.first[n][c.i] !== 1,
    wronged: (n, c) => all.first[n][c.i] === 1 && all.first[n][c.j] !== 1,
    failed: (n, c) => all.ap[n][c.j] !== null && all.first[n][c.j] !== 1,
  };
  const keys = { gain, a: (n, c) => all.ap[n][c.i], b: (n, c) => all.ap[n][c.j],
    first: (n, c) => all.first[n][c.j], name: (n) => n };
  let last = ["", []];
  const select = (c) => { // numbers of the queries that fit, in order
    const wanted = JSON.stringify([c.a, c.b, c.sort, c.up, c.show, c.camera, c.person, c.text]);
    if (last[0] === wanted) return last[1];
    const words = c.text.trim().toLowerCase();
    const fits = shows[c.show] ?? shows[""];
    const key = keys[c.sort] ?? gain;
    const found = [];
    for (let n = 0; n < all.id.length; n += 1) {
      if ((c.camera === "" || String(all.camera[n]) === c.camera)
        && (c.person === "" || String(all.person[n]) === c.person)
        && (!words || all.id[n].toLowerCase().includes(words)) && fits(n, c)) {
        found.push([key(n, c), n]);
      }
    }
    const sign = c.up === "1" ? 1 : -1;
    found.sort(([x, m], [y, n]) => (x === y ? m - n : x === null ? 1 : y === null ? -1
      : sign * (x - y)));
    last = [wanted, found.map(([, n]) => n)];
    return last[1];
  };
  const who = (person, camera) => [person === null ? "person unknown" : `person ${person}`,
    camera === null ? "" : `, camera ${camera}`].join("");

  const drawList = (c) => {
    const found = select(c);
    const pages = Math.max(1, Math.ceil(found.length / rowsPerPage));
    const page = Math.min(c.page, pages);
    const shown = found.slice((page - 1) * rowsPerPage, page * rowsPerPage);
    const head = ["query", "person", "camera", `AP % ${c.a}`, `AP % ${c.b}`, "gain",
      "rank of the first right answer"];
    table.tHead.replaceChildren(make("tr", {}, ...head.map((text, column) =>
      make("th", { class: column ? "n" : null, scope: "col" }, text))));
    table.tBodies[0].replaceChildren(...shown.map((n) => {
      const difference = gain(n, c);
      const colour = difference > 0 ? "better" : difference < 0 ? "worse" : null;
      const cells = [all.person[n] ?? missing, all.camera[n] ?? missing,
        percent(all.ap[n][c.i]), percent(all.ap[n][c.j]),
        make("span", { class: colour }, signed(difference)),
        `${all.first[n][c.i] ?? missing} → ${all.first[n][c.j] ?? missing}`];
      const link = make("a", { href: href({ q: all.id[n] }) }, all.id[n]);
      const row = make("tr", { class: all.id[n] === c.q ? "key" : null },
        make("th", { scope: "row", class: "mono" }, link));
      row.append(...cells.map((cell) => make("td", { class: "n" }, cell instanceof Node ? cell
        : String(cell))));
      return row;
    }));
    form.elements.shown.value = `${found.length} of ${all.id.length} queries`;
    root.querySelector("#where").textContent = `page ${page} of ${pages}`;
    for (const [id, to] of [["#earlier", page - 1], ["#later", page + 1]]) {
      const button = root.querySelector(id);
      button.disabled = to < 1 || to > pages;
      button.onclick = () => { location.hash = href({ page: to }); };
    }
  };

  const drawings = (query) => query.drawings.map(([name, pose, score, accepted]) => {
    const words = `Drawing in pose ${pose}, ${accepted ? "accepted" : "quarantined"}`;
    return make("figure", { class: `card ${accepted ? "right" : "wrong"}` }, thumbnail(name, words),
      make("figcaption", {}, `${accepted ? "✓" : "✕"} ${score === null ? missing : score.toFixed(2)}`,
        make("br"), `pose ${pose}, generated`));
  });
  const zoom = (name, caption, beside, heading) => {
    if (name === null) return thumbnail(name, caption);
    const button = make("button", { type: "button", class: "zoom" }, thumbnail(name, caption));
    button.beside = () => enlarge(`${pose2id.base}assets/${name}`, caption, beside(), heading());
    return button;
  };
  const ranked = (chunk, query, variant) => {
    const hits = query.hits[variant];
    const cards = [];
    for (let place = 0; place < hits.length; place += 3) {
      const [id, person, camera, name] = chunk.images[hits[place]];
      const distance = hits[place + 1];
      const [kind, sign, words] = verdicts[hits[place + 2]];
      const rank = place / 3 + 1;
      const caption = `Rank ${rank}, ${words}: ${id}, ${who(person, camera)}, distance ${distance}`;
      cards.push(make("figure", { class: `card ${kind}` },
        zoom(name, caption, () => [make("figure", { class: "card original" },
          thumbnail(query.picture, "The query"), make("figcaption", {}, "query"))],
        () => "Asked for:"),
        make("figcaption", { title: id }, make("span", { class: "sign" }, sign), ` ${rank}`,
          make("br"), make("span", { class: "soft" }, who(person, camera), make("br"),
            `distance ${distance.toFixed(3)}`))));
    }
    return make("div", { class: "strip" }, ...cards);
  };

  let drawn = "";
  const drawQuery = async (c) => {
    const number = numberOf.get(c.q);
    const wanted = `${c.q} ${c.a} ${c.b}`;
    if (drawn === wanted) return;
    drawn = wanted;
    article.hidden = !c.q;
    if (!c.q) return;
    if (number === undefined) {
      article.replaceChildren(make("p", {}, `There is no query ${c.q} in this report.`));
      return;
    }
    const chunkNumber = Math.floor(number / perChunk);
    const chunk = await pose2id.load("lists", chunkNumber, `queries/lists-${chunkNumber}.js`);
    if (drawn !== wanted) return; // another was asked for in the meantime
    const query = chunk.queries[number % perChunk];
    const order = select(c);
    const place = order.indexOf(number);
    const step = (text, to) => (to >= 0 && to < order.length
      ? [make("a", { href: href({ q: all.id[order[to]] }) }, text), " "] : []);
    const close = make("a", { href: href({ q: "" }) }, "Close");
    const title = `Query ${c.q}`;
    article.replaceChildren(
      make("h2", {}, make("span", { class: "mono" }, c.q), " ",
        make("span", { class: "soft" }, who(all.person[number], all.camera[number]))),
      make("p", { class: "small" }, ...(place < 0 ? [] : [...step("Previous", place - 1),
        ...step("Next", place + 1)]), make("a", { href: `#${new URLSearchParams({ q: c.q, a: c.a,
          b: c.b })}` }, "Link to this query"), " ", close),
      make("div", { class: "asked" },
        make("figure", { class: "card original" }, zoom(query.picture, title,
          () => drawings(query), () => (query.drawings.length ? "Its drawings:"
            : "Its drawings are not in this report.")), make("figcaption", {}, make("b", {}, "query"))),
        make("div", {}, ...[[c.a, c.i], [c.b, c.j]].flatMap(([name, variant]) => [
          make("h3", {}, make("code", {}, name), ` AP ${percent(all.ap[number][variant])} %`),
          ranked(chunk, query, variant)]))));
    article.focus({ preventScroll: true });
    article.scrollIntoView({ block: "nearest" });
  };

  const draw = () => {
    const c = chosen();
    for (const name of ["a", "b", "sort", "up", "show", "camera", "person", "text"]) {
      if (form.elements[name] !== document.activeElement || form.elements[name].tagName === "SELECT") {
        form.elements[name].value = c[name];
      }
    }
    drawList(c);
    return drawQuery(c);
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => {
    history.replaceState(null, "", href({ [event.target.name]: event.target.value, page: "" }));
    draw();
  });
  form.addEventListener("reset", () => { location.hash = "#"; });
  addEventListener("hashchange", draw);
  root.hidden = false;
  await draw();
};

const page = document.body.dataset.page;
filter();
if (page === "runs" || page === "studies") local(page);
const map = document.querySelector("#map");
if (map) mapOfFeatures(map);
const explorer = document.querySelector("#explorer");
if (explorer) explore(explorer);
