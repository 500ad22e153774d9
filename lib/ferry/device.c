/* SPDX-License-Identifier: MIT */
/*
 * What the kernel says about a device, its settings below /proc/sys, and the
 * capabilities of this process. Changes no address.
 */
#include "ferry/device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <net/if_arp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int
ask_device(struct handoff__device *device, int fd, bool *up, bool *ethernet)
{
	struct ifreq r = {0};

	handoff__copy(r.ifr_name, sizeof(r.ifr_name), device->name);
	if (ioctl(fd, SIOCGIFINDEX, &r) < 0)
		return -errno;
	device->ifindex = r.ifr_ifindex;
	if (ioctl(fd, SIOCGIFFLAGS, &r) < 0)
		return -errno;
	*up = (r.ifr_flags & IFF_UP) != 0;
	if (ioctl(fd, SIOCGIFHWADDR, &r) < 0)
		return -errno;
	*ethernet = r.ifr_hwaddr.sa_family == ARPHRD_ETHER;
	memcpy(device->mac, r.ifr_hwaddr.sa_data, sizeof(device->mac));
	return 0;
}

int
handoff__device_find(struct handoff__device *device, const char *name,
	struct handoff__error *error)
{
	bool up = false, ethernet = false;
	int fd, err = -ENODEV;

	memset(device, 0, sizeof(*device));
	if (strlen(name) > 0 && strlen(name) < sizeof(device->name)) {
		handoff__copy(device->name, sizeof(device->name), name);
		fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		err = fd < 0 ? -errno : ask_device(device, fd, &up, &ethernet);
		if (fd >= 0)
			close(fd);
	}
	if (err < 0)
		return handoff__fail(error, err, "network device '%.40s': %s",
			name, strerror(-err));
	if (!ethernet)
		return handoff__fail(error, -ENOTSUP,
			"network device '%s': it is not Ethernet, so no "
			"neighbour can be told where an address is",
			name);
	if (!up)
		return handoff__fail(error, -ENETDOWN,
			"network device '%s': it is down (ip link set %s up)",
			name, name);
	return 0;
}

static int
open_setting(const struct handoff__device *device, const char *name, int flags)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/%s",
		device->name, name);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int
tell_setting(const struct handoff__device *device, const char *name,
	const char *what, int err, struct handoff__error *error)
{
	return handoff__fail(error, err, "cannot %s net.ipv4.conf.%s.%s: %s%s",
		what, device->name, name, strerror(-err),
		err == -EROFS ? ": no ProtectKernelTunables= in its unit"
		: err == -EACCES || err == -EPERM ? ": needs CAP_NET_ADMIN"
						  : "");
}

int
handoff__device_setting(const struct handoff__device *device, const char *name,
	struct handoff__error *error)
{
	int fd = open_setting(device, name, O_RDONLY), err = fd;
	char text[16] = "";

	if (fd >= 0) {
		err = read(fd, text, sizeof(text) - 1) < 0 ? -errno : 0;
		close(fd);
	}
	if (err < 0)
		return tell_setting(device, name, "read", err, error);
	return atoi(text);
}

int
handoff__device_set(const struct handoff__device *device, const char *name,
	int value, struct handoff__error *error)
{
	int fd = open_setting(device, name, O_WRONLY), err = fd;
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", value);

	if (fd >= 0) {
		err = write(fd, text, (size_t)len) < 0 ? -errno : 0;
		close(fd);
	}
	return err < 0 ? tell_setting(device, name, "set", err, error) : 0;
}

static int
raise_setting(const struct handoff__device *device, const char *name, int least,
	int *before, struct handoff__error *error)
{
	*before = handoff__device_setting(device, name, error);
	if (*before < 0)
		return *before;
	return *before >= least
		       ? 0
		       : handoff__device_set(device, name, least, error);
}

int
handoff__device_quiet(const struct handoff__device *device,
	struct handoff__arp_modes *before, struct handoff__error *error)
{
	struct handoff__arp_modes modes;
	int err = raise_setting(device, "arp_ignore", 1, &modes.ignore, error);

	if (err == 0)
		err = raise_setting(
			device, "arp_announce", 2, &modes.announce, error);
	if (err < 0)
		return err;
	*before = modes;
	return 0;
}

int
handoff__device_restore(const struct handoff__device *device,
	const struct handoff__arp_modes *before, struct handoff__error *error)
{
	int err = handoff__device_set(
		device, "arp_ignore", before->ignore, error);

	if (err == 0)
		err = handoff__device_set(
			device, "arp_announce", before->announce, error);
	return err;
}

int
handoff__device_allowed(struct handoff__error *error)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {0};
	const char *lacks = NULL;

	if (syscall(SYS_capget, &head, data) < 0)
		return handoff__fail(error, -errno,
			"cannot read the capabilities of this process: %s",
			strerror(errno));
	if (!(data[0].effective & 1u << CAP_NET_RAW))
		lacks = "CAP_NET_RAW, to tell neighbours and forward packets";
	if (!(data[0].effective & 1u << CAP_NET_ADMIN))
		lacks = "CAP_NET_ADMIN, to move connections and addresses";
	if (!lacks)
		return 0;
	return handoff__fail(error, -EPERM,
		"no %s: run it as the user of the directory with "
		"AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW in its unit, or "
		"by setpriv, see handoff-ferry(8)",
		lacks);
}
