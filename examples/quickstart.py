"""A FastAPI application made roadworthy. Start it with: roadworthy run examples/quickstart.py"""

from fastapi import FastAPI

from roadworthy import Service, seconds

service = Service("guestbook", version="1.0.0", owner="you")
database = service.database(migrations="migrations")
letters = service.queue("letters", attempts=5)
service.slo("fast-visits", objective=0.99, under=seconds(0.2), route="POST /visits/{name}")

app = FastAPI()


@letters.job(unique="{name}", timeout=seconds(30))
async def thank(name: str) -> None:
    await database.execute("UPDATE visits SET thanked = true WHERE name = $1", name)


@app.post("/visits/{name}")
async def visit(name: str) -> dict[str, str]:
    async with database.transaction():
        await database.execute("INSERT INTO visits (name) VALUES ($1)", name)
        await thank.enqueue(name=name)  # runs once this transaction has committed, and never without it
    return {"welcome": name}


@app.get("/visits")
async def visits() -> dict[str, bool]:
    return {row["name"]: row["thanked"] for row in await database.fetch("SELECT name, thanked FROM visits")}


app = service.install(app)
