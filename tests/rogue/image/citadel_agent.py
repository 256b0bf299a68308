"""In place of an agent's loop: the code that the step's arguments hold, with all that an agent has."""


def run(agent):
    scope = {"__name__": "raid"}
    exec(agent["input"]["code"], scope)
    return scope["main"](agent)
