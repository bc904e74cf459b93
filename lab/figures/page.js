// Draws the page's figures, those in view first, light or dark as the reader's system says, now and when it changes.

const root = document.documentElement
const night = matchMedia("(prefers-color-scheme: dark)")
const slim = matchMedia("(max-width: 660px)")
const config = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["lasso2d", "select2d"] }
const drawn = new Set()

// Makes changes, [[path, value], …], to a figure; no value: removed.
function change(figure, changes) {
  for (const [path, ...value] of changes) {
    const last = path.pop()
    const at = path.reduce((part, key) => part[key], figure)
    if (value.length) at[last] = value[0]
    else delete at[last]
  }
}

// The figure as it was drawn light and wide, with what is otherwise on a narrow screen and in the dark changed.
function told(place) {
  const { figure, dark, narrow } = JSON.parse(place.nextElementSibling.textContent)
  if (slim.matches) change(figure, narrow)
  if (!root.dataset.theme && night.matches) change(figure, dark)
  return figure
}

function draw(place) {
  const { data, layout } = told(place)
  const saved = { format: "svg", filename: place.id }
  // What stands there for readers without scripts.
  if (!drawn.has(place)) place.replaceChildren()
  place.style.minHeight = `${layout.height ?? 450}px`
  Plotly.react(place, data, { ...layout, autosize: true }, { ...config, toImageButtonOptions: saved })
  drawn.add(place)
}

// Numbers travel compressed; a browser that cannot unpack them saves them as they are.
async function save(button) {
  const bytes = Uint8Array.from(atob(button.dataset.csv), (letter) => letter.charCodeAt(0))
  const packed = new Blob([bytes])
  const can = "DecompressionStream" in window
  const plain = can ? await new Response(packed.stream().pipeThrough(new DecompressionStream("gzip"))).blob() : packed
  const link = document.createElement("a")
  link.href = URL.createObjectURL(plain)
  link.download = button.dataset.name + (can ? ".csv" : ".csv.gz")
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 1000)
}

const places = document.querySelectorAll(".plotly-graph-div")
const left = () => [...places].filter((place) => !drawn.has(place))
const watch = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) if (isIntersecting && !drawn.has(target)) draw(target)
}, { rootMargin: "400px" })
for (const place of places) watch.observe(place)

// The others one by one while the reader reads, so that printing and finding find them.
const idle = window.requestIdleCallback ?? ((work) => setTimeout(work, 200))
function rest() {
  const [next] = left()
  if (!next) return
  draw(next)
  idle(rest)
}
addEventListener("load", () => idle(rest))
for (const media of [night, slim]) media.addEventListener("change", () => drawn.forEach(draw))
addEventListener("beforeprint", () => left().forEach(draw))
for (const button of document.querySelectorAll("button[data-csv]")) button.addEventListener("click", () => save(button))

// A table that goes on beyond its frame says so.
for (const wide of document.querySelectorAll(".wide")) {
  const frame = wide.firstElementChild
  const look = () => wide.classList.toggle("more", frame.scrollLeft + frame.clientWidth < frame.scrollWidth - 2)
  frame.addEventListener("scroll", look)
  new ResizeObserver(look).observe(frame)
}
