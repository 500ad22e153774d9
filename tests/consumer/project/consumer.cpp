/* SPDX-License-Identifier: MIT */
/*
 * consumer.c as it is written in C++17: handles in smart pointers, a service
 * that is an object. usage: consumer DIRECTORY
 */
#include <handoff.h>

#include <poll.h>

#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>

namespace
{

struct Free {
	void
	operator()(handoff_server *server) const
	{
		handoff_server_free(server);
	}
	void
	operator()(handoff_client *client) const
	{
		handoff_client_free(client);
	}
};

class Echo
{
      public:
	Echo()
	{
		service.size = sizeof(service);
		service.name = "echo";
		service.handle = handle;
		service.arg = this;
	}

	std::unique_ptr<handoff_server, Free>
	open(const std::string &dir, const char *address) const
	{
		char why[HANDOFF_TEXT_MAX] = "";
		handoff_server_opts opts{};
		handoff_server *server = nullptr;

		opts.size = sizeof(opts);
		opts.dir = dir.c_str();
		opts.name = "one";
		opts.service = &service;
		opts.listen = &address;
		opts.nlisten = 1;
		opts.errbuf = why;
		opts.errbuf_size = sizeof(why);
		if (handoff_server_open(&server, &opts) < 0)
			throw std::runtime_error(why);
		return std::unique_ptr<handoff_server, Free>(server);
	}

	int served = 0;

      private:
	static int
	handle(handoff_conn *conn, void *arg)
	{
		std::size_t len;
		const void *input = handoff_conn_input(conn, &len);

		static_cast<Echo *>(arg)->served++;
		len = handoff_conn_write(conn, input, len);
		return handoff_conn_consume(conn, len);
	}

	handoff_service service{};
};

std::unique_ptr<handoff_client, Free>
call(const char *address)
{
	handoff_client_opts opts{};
	handoff_client *client = nullptr;

	opts.size = sizeof(opts);
	opts.endpoints = &address;
	opts.nendpoints = 1;
	if (handoff_client_open(&client, &opts) < 0 ||
		handoff_client_send(client, "hello", 5) < 0)
		throw std::runtime_error("no call");
	return std::unique_ptr<handoff_client, Free>(client);
}

std::string
answer(handoff_server *server, handoff_client *client)
{
	const handoff_client_event *event;

	for (;;) {
		pollfd fds[] = {{handoff_server_fd(server), POLLIN, 0},
			{handoff_client_fd(client), POLLIN, 0}};

		if (poll(fds, 2, 10000) <= 0 ||
			handoff_server_dispatch(server) < 0 ||
			handoff_client_dispatch(client) < 0)
			throw std::runtime_error("no answer");
		while (handoff_client_next(client, &event) > 0)
			if (event->type == HANDOFF_CLIENT_DATA)
				return {static_cast<const char *>(event->data),
					event->len};
	}
}

} // namespace

int
main(int argc, char **argv)
try {
	const std::string dir = argc > 1 ? argv[1] : ".";
	const std::string address = "unix:" + dir + "/socket";
	Echo echo;
	auto server = echo.open(dir + "/service", address.c_str());
	auto client = call(address.c_str());
	const std::string text = answer(server.get(), client.get());

	std::cout << "handoff " << handoff_version() << ": " << text << '\n';
	return echo.served > 0 ? 0 : 1;
} catch (const std::exception &error) {
	std::cerr << error.what() << '\n';
	return 1;
}
