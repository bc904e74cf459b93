// A stopwatch inside the page: when a key or a click came, what the server answered, and when figures stood on the screen.
(() => {
  const watch = { input: 0, frames: [], redraws: [], tasks: [], pending: 0 }
  window.watch = watch
  watch.begin = () => {
    Object.assign(watch, { input: performance.now(), frames: [], redraws: [], tasks: [] })
  }
  for (const kind of ["keydown", "click"]) addEventListener(kind, watch.begin, true)

  const Socket = window.WebSocket
  window.WebSocket = class extends Socket {
    constructor(...asked) {
      super(...asked)
      this.addEventListener("message", ({ data }) => {
        watch.frames.push({ at: performance.now(), bytes: data.byteLength ?? data.size ?? data.length })
      })
    }
  }

  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) watch.tasks.push({ at: entry.startTime, ms: entry.duration })
  }).observe({ type: "longtask", buffered: true })

  const inSight = (box) => {
    const { top, bottom } = box.getBoundingClientRect()
    return top < innerHeight && bottom > 0
  }
  const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))
  let library
  Object.defineProperty(window, "Plotly", {
    configurable: true,
    get: () => library,
    set(loaded) {
      library = loaded
      const react = loaded.react
      loaded.react = async function (box, data, layout, ...rest) {
        watch.pending++
        try {
          const made = await react.call(this, box, data, layout, ...rest)
          await painted()
          watch.redraws.push({ at: performance.now(), sight: inSight(box) })
          return made
        } finally {
          watch.pending--
        }
      }
    },
  })

  // Whether all has been still for so many milliseconds, with at least one figure drawn since the input.
  watch.still = (ms) => {
    const app = document.querySelector("[data-testid=stApp]")
    const last = Math.max(watch.input, ...watch.frames.map(({ at }) => at), ...watch.redraws.map(({ at }) => at))
    const idle = app?.dataset.testScriptState === "notRunning"
    return idle && !watch.pending && watch.redraws.length > 0 && performance.now() - last > ms
  }

  watch.told = () => {
    const since = (list) => list.map(({ at }) => at - watch.input)
    const seen = watch.redraws.filter(({ sight }) => sight)
    const shown = [...document.querySelectorAll(".strawberry-canvas")].filter((box) => box.layout && inSight(box))
    return {
      first: Math.min(...since(watch.redraws)),
      sight: Math.max(0, ...since(seen)),
      whole: Math.max(...since(watch.redraws)),
      answered: Math.max(0, ...since(watch.frames)),
      bytes: watch.frames.reduce((sum, { bytes }) => sum + bytes, 0),
      task: Math.max(0, ...watch.tasks.map(({ ms }) => ms)),
      figures: watch.redraws.length,
      abouts: shown.map(({ layout: { title } }) => `${title?.text ?? ""} · ${title?.subtitle?.text ?? ""}`),
    }
  }
})()
