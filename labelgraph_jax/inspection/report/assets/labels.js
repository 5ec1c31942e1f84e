const COLUMNS = [
  ["name", "label"], ["group", "frequency"], ["train", "training"],
  ["support", "test"], ["predicted", "predicted"], ["tp", "TP"], ["fp", "FP"],
  ["fn", "FN"], ["precision", "precision"], ["recall", "recall"], ["f1", "F1"],
  ["gain", "vs. baseline"], ["threshold", "threshold"],
];
const GROUP_ORDER = { head: 0, middle: 1, tail: 2 };

const FIELDS = [
  ["name", "label"], ["title", "title"], ["group", "frequency"],
  ["train", "training_documents"], ["support", "test_documents"],
  ["predicted", "predicted_documents"], ["tp", "true_positives"],
  ["fp", "false_positives"], ["fn", "false_negatives"], ["precision", "precision"],
  ["recall", "recall"], ["f1", "f1"], ["baseline", "baseline_f1"],
  ["threshold", "threshold"],
];

function difference(value, other) {
  return value === null || other === null || other === undefined ? null : value - other;
}

// Every label as CSV (RFC 4180), made here: the page needs no network.
function saveAsCsv(rows, fields) {
  const quoted = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const lines = [fields.map(([, title]) => title)];
  for (const row of rows) lines.push(fields.map(([key]) => quoted(row[key])));
  const text = lines.map((line) => `${line.join(",")}\r\n`).join("");
  const address = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  element("a", null, { href: address, download: "labels.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

function labelTable(labels, select) {
  const baseline = labels.baseline_f1 || [];
  const without = labels.baseline_f1 ? [] : ["gain", "baseline"];
  const columns = COLUMNS.filter(([key]) => !without.includes(key));
  const rows = labels.names.map((name, i) => ({
    id: i, name, title: labels.titles[i], group: labels.groups[i],
    train: labels.train[i], support: labels.support[i],
    predicted: labels.predicted[i], tp: labels.true_positives[i],
    fp: labels.predicted[i] - labels.true_positives[i],
    fn: labels.support[i] - labels.true_positives[i],
    precision: labels.precision[i], recall: labels.recall[i], f1: labels.f1[i],
    baseline: baseline[i], gain: difference(labels.f1[i], baseline[i]),
    threshold: labels.thresholds[i],
    found: `${name}\n${labels.titles[i]}`.toLowerCase(),
  }));
  const table = byId("label-table");
  const state = { sort: "support", down: true, page: 0 };
  const filter = byId("label-filter");
  const group = byId("label-group");
  const set = byId("label-set");
  const present = byId("label-present");
  const size = byId("page-size");

  const sets = [...new Set(rows.map((row) => row.name.split("/")[0]))];
  if (sets.length > 1 && sets.length < 9 && rows.every((r) => r.name.includes("/"))) {
    set.append(element("option", "all", { value: "" }));
    for (const name of sets) set.append(element("option", name, { value: name }));
    set.parentElement.hidden = false;
  }

  const head = element("tr");
  for (const [key, title] of columns) {
    const cell = element("th", null, { scope: "col", "data-key": key });
    const button = element("button", title, { type: "button" });
    button.addEventListener("click", () => {
      state.down = state.sort === key ? !state.down : key !== "name" && key !== "group";
      state.sort = key;
      state.page = 0;
      update();
    });
    cell.append(button);
    head.append(cell);
  }
  table.tHead.append(head);

  function compare(a, b) {
    const sign = state.down ? -1 : 1;
    if (state.sort === "name") {
      return sign * (a.title || a.name).localeCompare(b.title || b.name);
    }
    if (state.sort === "group") {
      return sign * (GROUP_ORDER[a.group] - GROUP_ORDER[b.group]) || b.train - a.train;
    }
    const left = a[state.sort];
    const right = b[state.sort];
    // What has no value stands last, whichever way.
    if (left === null || right === null) return (left === null) - (right === null);
    return sign * (left - right) || a.id - b.id;
  }

  function body(part) {
    const made = document.createDocumentFragment();
    for (const row of part) {
      const line = element("tr");
      const cell = element("th", null, { scope: "row" });
      const button = element("button", row.title || row.name, {
        type: "button", title: row.title ? `${row.name}: ${row.title}` : row.name,
      });
      button.addEventListener("click", () => select(row.id));
      cell.append(button);
      if (row.title) cell.append(element("small", row.name));
      line.append(cell);
      line.append(element("td", row.group));
      for (const key of ["train", "support", "predicted", "tp", "fp", "fn"]) {
        line.append(element("td", whole(row[key])));
      }
      for (const key of ["precision", "recall"]) {
        line.append(element("td", shown(row[key])));
      }
      const f1 = element("td", null, { class: "bar" });
      if (row.f1 !== null) {
        f1.append(element("span", null, { style: `--share:${row.f1}` }));
      }
      f1.append(shown(row.f1));
      line.append(f1);
      if (labels.baseline_f1) {
        const sign = row.gain > 0 ? "+" : "";
        const kind = row.gain > 0 ? "gain" : row.gain < 0 ? "loss" : "";
        const words = row.gain === null ? "–" : `${sign}${row.gain.toFixed(3)}`;
        line.append(element("td", words, { class: kind }));
      }
      line.append(element("td", shown(row.threshold)));
      made.append(line);
    }
    return made;
  }

  function update() {
    const words = filter.value.trim().toLowerCase();
    const kept = rows.filter((row) => (
      (!words || row.found.includes(words))
      && (!group.value || row.group === group.value)
      && (!set.value || row.name.startsWith(`${set.value}/`))
      && (!present.checked || row.support > 0)
    ));
    kept.sort(compare);
    const count = Number(size.value);
    const pages = Math.max(1, Math.ceil(kept.length / count));
    state.page = Math.min(state.page, pages - 1);
    const start = state.page * count;
    table.tBodies[0].replaceChildren(body(kept.slice(start, start + count)));
    for (const cell of head.children) {
      const own = cell.dataset.key === state.sort;
      cell.setAttribute("aria-sort", !own ? "none" : state.down ? "descending"
        : "ascending");
    }
    byId("label-count").textContent = kept.length === rows.length
      ? `${whole(rows.length)} labels`
      : `${whole(kept.length)} of ${whole(rows.length)} labels`;
    byId("page-place").textContent = `${state.page + 1} of ${pages}`;
    byId("page-back").disabled = state.page === 0;
    byId("page-next").disabled = state.page === pages - 1;
  }

  const again = () => { state.page = 0; update(); };
  filter.addEventListener("input", again);
  for (const control of [group, set, present, size]) {
    control.addEventListener("change", again);
  }
  byId("page-back").addEventListener("click", () => { state.page -= 1; update(); });
  byId("page-next").addEventListener("click", () => { state.page += 1; update(); });
  byId("label-csv").addEventListener("click", () => {
    saveAsCsv(rows, FIELDS.filter(([key]) => !without.includes(key)));
  });
  update();
}
