package io.alio.client;

import java.lang.management.ManagementFactory;
import java.util.Objects;
import java.util.function.Consumer;
import javax.management.InstanceAlreadyExistsException;
import javax.management.JMException;
import javax.management.ObjectName;

/** Shows counters in the platform's JMX server. That never fails: counters that cannot be shown count unseen. */
public final class Beans {
    private static final int MOST = 1000; // names that are tried

    private Beans() {
    }

    /**
     * Registers a bean as {@code io.alio:type=<type>,name=<name>}. A name may be taken, as by another plugin of the process, which has a class loader and a
     * client of its own; then the bean gets the first free one of {@code <name>-2}, {@code <name>-3} and so on.
     *
     * @param warn is told when the bean has another name, or none
     * @return the name that it has; null: it has none
     */
    public static ObjectName register(Object bean, String type, String name, Consumer<String> warn) {
        Objects.requireNonNull(bean, "bean");
        try {
            for (int i = 1; i <= MOST; i++) {
                ObjectName tried = name(type, i == 1 ? name : name + "-" + i);
                try {
                    ManagementFactory.getPlatformMBeanServer().registerMBean(bean, tried);
                } catch (InstanceAlreadyExistsException e) {
                    continue;
                }
                if (i > 1) {
                    warn.accept("the JMX name " + name(type, name) + " is taken by other counters of this process; these are shown as " + tried
                            + ". Give each its own name to tell them apart");
                }
                return tried;
            }
            warn.accept("the JMX names " + name(type, name) + " to -" + MOST + " are taken; these counters are not shown");
        } catch (JMException | SecurityException e) {
            warn.accept("counters of the type " + type + " are not shown in JMX as \"" + name + "\": " + e);
        }
        return null;
    }

    private static ObjectName name(String type, String name) throws JMException {
        return new ObjectName("io.alio:type=" + type + ",name=" + ObjectName.quote(name).replaceAll("^\"([\\w.-]+)\"$", "$1"));
    }

    /** Takes a bean out of the JMX server; null, and a name that is gone already, are no errors. */
    public static void unregister(ObjectName name) {
        if (name == null) {
            return;
        }
        try {
            ManagementFactory.getPlatformMBeanServer().unregisterMBean(name);
        } catch (JMException | SecurityException e) {
            // nobody can see it any more than before
        }
    }
}
