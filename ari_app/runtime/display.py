"""What a person sees of a running stack."""

from rich.console import Console

from ari_app.runtime.stack import Stack


def show(stack: Stack, console: Console, *, agent_stands_by: bool = False) -> None:
    """Print what runs where, and what to try. One line each, never folded: people copy from it."""
    asterisk, running = stack.asterisk, stack.processes
    lines = [("Asterisk ARI", f"{asterisk.ari_url}/ari   asterisk-whatsapp / {asterisk.ari_password}")]
    lines.append(("SIP, UDP and TCP", asterisk.sip_address))
    for phone in asterisk.phones.values():
        lines.append(("", f"{phone.name} / {phone.password}"))
    lines.append(("PostgreSQL", stack.dsn))
    if "bridge" in running:
        lines.append(("Bridge's webhook", stack.webhook_url))
    if "simulator" in running:
        lines.append(("Meta simulator", f"{stack.simulator_url}/control"))
        lines.append(("WhatsApp phone", f"{stack.phone_url}   (open it in a browser and call)"))
    if "console" in running:
        login = stack.console_login
        lines.append(("Web console", f"{stack.console_url}   {login.login} / {login.password}"))
    lines.append(("Logs", str(stack.logs)))
    lines.append(("Configuration", f"{stack.config}   (has all the secrets)"))
    for name, value in lines:
        console.print(f"[bold]{name:<18}[/]", end="")
        console.print(value, markup=False, soft_wrap=True)
    console.print()
    answered = "and are answered after 3 s" if agent_stands_by else "(no SIP phone at hand? up --agent answers there)"
    console.print(f"WhatsApp calls to {stack.number.display_number} ring {stack.options.agent_endpoint} {answered}.")
    console.print("Phones dial 1001 … 1004, 600 (echo), 601 (music), 9XX (an ordinary call to it).")
    console.print("[bold]Ctrl-C[/] ends everything.")
